"""``python -m benchmarks [NAME …]``: run the benchmarks, or those named, one after the other.

Options after ``--`` go to each of them: ``python -m benchmarks pipeline -- --rounds 3``.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent


def names() -> list[str]:
    """The benchmarks there are."""
    return sorted(path.stem for path in HERE.glob("*.py") if not path.stem.startswith("_"))


def main(argv: list[str]) -> int:
    """Run them; returns the number of those that failed."""
    cut = argv.index("--") if "--" in argv else len(argv)
    arguments, passed_on = argv[:cut], argv[cut + 1 :]
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("name", nargs="*", help=f"one of {', '.join(names())}; all when none")
    options = parser.parse_args(arguments)
    unknown = [name for name in options.name if name not in names()]
    if unknown:
        parser.error(f"unknown benchmark {unknown[0]!r}; there are {', '.join(names())}")
    failed = 0
    for name in options.name or names():
        print(f"== {name}", flush=True)
        done = subprocess.run([sys.executable, "-m", f"benchmarks.{name}", *passed_on], check=False)
        failed += done.returncode != 0
    return failed


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
