"""A module that fails while it is imported."""

raise ValueError("no such luck")
