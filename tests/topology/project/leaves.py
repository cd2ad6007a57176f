"""A module that ends the program, as a script without a main guard may."""

import sys

sys.exit("usage: leaves FILE")
