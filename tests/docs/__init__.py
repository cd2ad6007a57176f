"""The documentation is run: every example of the README, of docs/ and of the docstrings."""
