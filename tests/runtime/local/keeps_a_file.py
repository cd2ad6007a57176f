"""A module to preload that opens a file when it is imported, as one with a log file does."""

from __future__ import annotations

import tempfile

file = tempfile.TemporaryFile("w+")  # noqa: SIM115  (open for as long as the process lives)
file.write("kept")
file.flush()
