"""``python -m benchmarks …``: ``actorflow bench`` for the benchmarks of this folder."""

from __future__ import annotations

import sys
from pathlib import Path

from actorflow.cli import main

if __name__ == "__main__":
    here = str(Path(__file__).resolve().parents[1])
    raise SystemExit(main(["bench", "--directory", here, *sys.argv[1:]]))
