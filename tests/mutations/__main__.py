"""``python -m tests.mutations [M3 …]``: which mutations the tests catch."""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
from pathlib import Path

from tests.mutations.runner import copy_project, try_mutation
from tests.mutations.table import Mutation, all_mutations


def main() -> int:
    """Try the mutations that are named; returns the exit status: 0 when all were caught."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutations", description=__doc__)
    parser.add_argument("ids", nargs="*", metavar="M3", help="which; all of them when left out")
    parser.add_argument("--list", action="store_true", help="say what each breaks, and try nothing")
    options = parser.parse_args()
    known = list(all_mutations())
    chosen = [each for each in known if not options.ids or _is_named(each, options.ids)]
    unknown = [name for name in options.ids if not any(_is_named(each, [name]) for each in known)]
    if unknown:
        parser.error(f"there is no {', '.join(unknown)}")
    if options.list:
        for mutation in sorted(chosen, key=_number):
            print(f"{mutation.id}: {mutation.breaks}")
        return 0
    missed = 0
    with tempfile.TemporaryDirectory(prefix="actorflow-mutations-") as folder:
        copy = copy_project(Path(folder))
        for mutation in sorted(chosen, key=_number):
            verdict = try_mutation(mutation, copy)
            missed += not verdict.caught
            print(verdict, flush=True)
    print(f"{len(chosen) - missed} of {len(chosen)} caught")
    return 1 if missed else 0


def _is_named(mutation: Mutation, names: list[str]) -> bool:
    """``M30`` names M30, M30a and M30b."""
    return any(mutation.id == name or mutation.id.rstrip("abcdef") == name for name in names)


def _number(mutation: Mutation) -> tuple[int, str]:
    found = re.search(r"\d+", mutation.id)
    assert found is not None
    return int(found.group()), mutation.id


if __name__ == "__main__":
    sys.exit(main())
