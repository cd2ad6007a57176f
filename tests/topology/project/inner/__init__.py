"""A package, so that dotted modules can be named."""
