"""Many experiments, one per seed, on all processors: ``python -m actorflow.testing.campaign``.

A failing seed is printed with the command that runs it again, alone, with all its evidence.
"""

from __future__ import annotations

import argparse
import gc
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from dataclasses import field
from multiprocessing import get_context
from typing import Protocol

from actorflow.records import dataclass
from actorflow.runtime.simulated.stall import Stalled
from actorflow.testing.experiments import Experiment
from actorflow.testing.simulation import SimulatedRun

__all__ = ["Failed", "Runs", "Tally", "main", "run_seeds"]

BATCH = 50
"""Seeds that a worker runs at a time: about a second."""

LINE_EVERY = 30.0
"""Seconds between two lines of progress, where the output is no terminal."""

COLLECT_AFTER = 50_000
"""New objects between two looks of the garbage collector: some experiments' worth."""

SHOWN = 5
"""How many failing seeds are shown in full."""


class Runs(Protocol):
    """An experiment: something to simulate and to judge."""

    def run(self) -> SimulatedRun:
        """Run it; whatever it raises is what it has found."""

    def describe(self) -> str:
        """What it is, for a person."""


@dataclass(frozen=True, slots=True)
class Failed:
    """A seed whose experiment failed, and how."""

    seed: int
    error: str
    detail: str


@dataclass(slots=True)
class Tally:
    """What some experiments came to."""

    seeds: int = 0
    steps: int = 0
    crashes: int = 0
    failed: list[Failed] = field(default_factory=list)

    def add(self, other: Tally) -> None:
        """Count another one in."""
        self.seeds += other.seeds
        self.steps += other.steps
        self.crashes += other.crashes
        self.failed += other.failed


def run_seeds(seeds: Sequence[int], experiment: Callable[[int], Runs] = Experiment.of) -> Tally:
    """Run the experiments of these seeds, one after the other.

    Args:
        seeds: which.
        experiment: makes the experiment that a seed stands for; a function of a module, as it
            travels to other processes.

    Example:
        >>> run_seeds(range(2)).seeds
        2
    """
    tally = Tally()
    for seed in seeds:
        tally.seeds += 1
        try:
            run = experiment(seed).run()
        except Exception as error:  # noqa: BLE001 - whatever it is, it is what the seed has found
            summary = str(error).partition("\n")[0]
            failed = Failed(seed, f"{type(error).__name__}: {summary}", traceback.format_exc())
            tally.failed.append(failed)
        else:
            tally.steps += run.steps
            tally.crashes += len(run.crashed)
    return tally


def main(
    arguments: Sequence[str] | None = None,
    *,
    experiment: Callable[[int], Runs] = Experiment.of,
    module: str = "actorflow.testing.campaign",
) -> int:
    """Run a campaign from the command line; 0 when every experiment went well, else 1.

    Args:
        arguments: those of the command line; None for the program's own.
        experiment: as for `run_seeds`.
        module: what ``python -m`` runs, for the help and for the command that shows a seed again.
    """
    options = _parser(module).parse_args(arguments)
    if options.replay is not None:
        return _replay(experiment(options.replay))
    began = time.monotonic()
    total = Tally()
    seeds = range(options.first, options.first + options.seeds)
    progress = _Progress(len(seeds), began)
    for tally in _on_all(seeds, options.jobs, experiment):
        total.add(tally)
        for failed in tally.failed:
            print(f"\nseed {failed.seed}: {failed.error}")
            print(f"  again: {_command(module, failed.seed)}", flush=True)
        progress.show(total)
    seconds = time.monotonic() - began
    print(
        f"\n{total.seeds} seeds, {total.steps} steps, {total.crashes} crashes,"
        f" {len(total.failed)} failed, {seconds:.1f} s, {total.seeds / seconds:.0f} seeds/s"
    )
    for failed in total.failed[:SHOWN]:
        print(f"\n{'=' * 20} seed {failed.seed}\n{failed.detail}")
    return 1 if total.failed else 0


def _on_all(seeds: range, jobs: int, experiment: Callable[[int], Runs]) -> Iterator[Tally]:
    batches = [seeds[start : start + BATCH] for start in range(0, len(seeds), BATCH)]
    if jobs == 1:
        _collect_seldom()
        for batch in batches:
            yield run_seeds(batch, experiment)
        return
    # Fresh interpreters: a fork would inherit whatever threads the caller has.
    with ProcessPoolExecutor(
        jobs, mp_context=get_context("spawn"), initializer=_collect_seldom
    ) as pool:
        futures: list[Future[Tally]] = [
            pool.submit(run_seeds, batch, experiment) for batch in batches
        ]
        for future in as_completed(futures):
            yield future.result()


def _collect_seldom() -> None:
    """A tenth of an experiment's time would be the collector's, that looks at what it keeps."""
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER)


def _replay(experiment: Runs) -> int:
    print(experiment.describe())
    try:
        run = experiment.run()
    except Stalled as stalled:
        print(stalled)
        return 1
    except Exception:  # noqa: BLE001 - shown in full
        traceback.print_exc()
        return 1
    for step in run.trace:
        print(step)
    print(f"{run.status}: {run.steps} steps, {run.seconds:.3f} virtual s, trace {run.trace_hash}")
    return 0


def _command(module: str, seed: int) -> str:
    return f"{os.path.basename(sys.executable)} -m {module} --replay {seed}"


class _Progress:
    """Shows how far a campaign is: on a terminal all the time, in a log now and then."""

    def __init__(self, wanted: int, began: float) -> None:
        self._wanted = wanted
        self._began = self._shown = began

    def show(self, total: Tally) -> None:
        now = time.monotonic()
        on_terminal = sys.stdout.isatty()
        if not on_terminal and now - self._shown < LINE_EVERY:
            return
        self._shown = now
        rate = total.seeds / max(now - self._began, 1e-9)
        text = f"{total.seeds}/{self._wanted} seeds, {len(total.failed)} failed, {rate:.0f} seeds/s"
        print(f"\r{text} " if on_terminal else text, end="" if on_terminal else "\n", flush=True)


def _parser(module: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f"python -m {module}",
        description="Simulate random topologies, one per seed, with every law asked at every step.",
    )
    parser.add_argument("--seeds", type=_natural, default=1000, help="how many (1000)")
    parser.add_argument("--first", type=int, default=0, help="the first one (0)")
    parser.add_argument(
        "--jobs", type=_natural, default=os.cpu_count() or 1, help="processes (one per processor)"
    )
    parser.add_argument("--replay", type=int, metavar="SEED", help="run one seed and show it all")
    return parser


def _natural(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be an integer of at least 1, got {text}")
    return value


if __name__ == "__main__":
    sys.exit(main())
