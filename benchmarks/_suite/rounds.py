"""Rounds in which sides take turns, and what is made of their figures."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar

from benchmarks._suite.records import Point, Role, Series

__all__ = [
    "alternate",
    "as_many_as_take",
    "distribution",
    "percentiles",
    "quotients",
    "series",
    "timeline",
]

PERCENTILES = (50.0, 90.0, 99.0, 99.9, 100.0)

Measured = TypeVar("Measured")
At = TypeVar("At", bound=float | str)


def alternate(
    sides: Mapping[str, Callable[[], Measured]], rounds: int
) -> dict[str, tuple[Measured, ...]]:
    """Let sides take turns, so that a noisy machine is noisy for all of them.

    Every other round goes backwards: each side is first as often as last.

    Args:
        sides: what to measure, by name.
        rounds: how many turns each has, from 1.

    Returns:
        what each side returned, round by round, in the order of `sides`.
    """
    found: dict[str, list[Measured]] = {side: [] for side in sides}
    for turn in range(rounds):
        for side in reversed(list(sides)) if turn % 2 else sides:
            _say(f"round {turn + 1} of {rounds}: {side}")
            found[side].append(sides[side]())
    _say("")
    return {side: tuple(values) for side, values in found.items()}


def _say(text: str) -> None:
    # A line that is written over, for who watches; nothing for a file or the suite.
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


def as_many_as_take(
    seconds: float, run: Callable[[int], float], *, at_least: int, step: int
) -> int:
    """How many events a side moves in about so many seconds, by a run with the fewest.

    Args:
        seconds: how long a run is to take.
        run: moves so many events; returns the seconds that it took.
        at_least: the fewest.
        step: more than the fewest are a multiple of this.

    Example:
        >>> as_many_as_take(2.0, lambda events: events / 1000, at_least=100, step=300)
        1800
    """
    rate = at_least / max(1e-6, run(at_least))
    return max(at_least, int(rate * seconds) // step * step)


def quotients(ours: Sequence[float], theirs: Sequence[float]) -> tuple[float, ...]:
    """Ours over theirs, round by round: neighbours in time, so that noise hits both."""
    return tuple(mine / other for mine, other in zip(ours, theirs, strict=True))


def series(side: str, role: Role, values: Mapping[At, Iterable[float]]) -> Series:
    """A side's values: for each parameter what the rounds found."""
    points = tuple(Point(at=at, rounds=tuple(rounds)) for at, rounds in values.items())
    return Series(side=side, role=role, points=points)


def percentiles(values: Iterable[float]) -> dict[float, float]:
    """The percentiles that a distribution shows, of one round's values; at least one.

    Example:
        >>> percentiles(range(1, 1001))
        {50.0: 500, 90.0: 900, 99.0: 990, 99.9: 999, 100.0: 1000}
    """
    ordered = sorted(values)
    last = len(ordered)
    # The nearest rank: a value that was measured, and none in between.
    ranks = {each: max(1, -int(-each * last // 100)) for each in PERCENTILES}
    return {each: ordered[rank - 1] for each, rank in ranks.items()}


def distribution(side: str, role: Role, rounds: Sequence[Iterable[float]]) -> Series:
    """The percentiles of each round's values, for a chart of the kind ``"distribution"``."""
    found = [percentiles(values) for values in rounds]
    return series(side, role, {each: [one[each] for one in found] for each in PERCENTILES})


def timeline(side: str, role: Role, values: Mapping[float, float]) -> Series:
    """Values by the seconds at which they were taken, for a chart of the kind ``"timeline"``."""
    return series(side, role, {at: [value] for at, value in values.items()})
