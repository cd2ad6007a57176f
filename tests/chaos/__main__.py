"""Trials for so many minutes: ``python -m tests.chaos --minutes 5``, or ``make chaos MINUTES=5``.

Each seed is a topology of real processes, a nemesis's plan, and a verdict. What is kept of a trial
that went wrong is named at the end, with the seed that tries it again.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tests.chaos.shapes import MODES
from tests.chaos.trial import Trial, Verdict

__all__ = ["main", "table"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run trials; 0 when every promise was kept, else 1."""
    options = _parser().parse_args(arguments)
    folder = Path(tempfile.mkdtemp(prefix="actorflow-chaos-"))
    until = time.monotonic() + options.minutes * 60
    verdicts: list[Verdict] = []
    seed = options.seed
    while time.monotonic() < until and len(verdicts) != options.trials:
        here = folder / str(seed)
        here.mkdir()
        trial = Trial(seed, here, events=options.events)
        if options.trials == 1:
            print(trial.describe(), flush=True)
        verdict = trial.run()
        verdicts.append(verdict)
        print(_line(verdict), flush=True)
        if not verdict.problems:
            shutil.rmtree(here)
        seed += 1
    print(f"\n{table(verdicts)}")
    failed = [verdict for verdict in verdicts if verdict.problems]
    for verdict in failed:
        print(f"\nseed {verdict.seed}, kept in {folder / str(verdict.seed)}")
        print(f"  again: python -m tests.chaos --seed {verdict.seed} --trials 1")
        print("\n".join(f"  {problem}" for problem in verdict.problems))
    if not failed:
        folder.rmdir()
    return 1 if failed else 0


def _line(verdict: Verdict) -> str:
    deeds = ", ".join(f"{count} {kind}" for kind, count in sorted(verdict.deeds.items()))
    said = "; ".join(verdict.problems) or "kept its promises"
    return (
        f"seed {verdict.seed}: {verdict.shape.mode}, {verdict.seconds:.1f} s,"
        f" {verdict.lives} lives, {verdict.handled} events handled,"
        f" {deeds or 'undisturbed'}: {said}"
    )


def table(verdicts: Sequence[Verdict]) -> str:
    """What all trials came to, by mode."""
    rows = [
        "| mode | trials | lives | emitted | handled | done to them | broken |",
        "|" + "---|" * 7,
    ]
    for mode in (*MODES, "all"):
        of_it = [v for v in verdicts if mode in (v.shape.mode, "all")]
        deeds: Counter[str] = sum((v.deeds for v in of_it), Counter())
        said = ", ".join(f"{count} {kind}" for kind, count in sorted(deeds.items()))
        cells = [
            mode,
            len(of_it),
            sum(v.lives for v in of_it),
            sum(v.emitted for v in of_it),
            sum(v.handled for v in of_it),
            said,
            sum(bool(v.problems) for v in of_it),
        ]
        rows.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(rows)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.chaos",
        description="Random topologies of real processes under a nemesis, their histories judged.",
    )
    parser.add_argument("--minutes", type=float, default=1.0, help="for how long (1)")
    parser.add_argument("--seed", type=int, default=0, help="the first trial's (0)")
    parser.add_argument("--trials", type=int, default=-1, help="at most so many (no limit)")
    parser.add_argument("--events", type=int, default=1500, help="events per trial, about (1500)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
