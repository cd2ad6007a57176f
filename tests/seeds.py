"""How many seeds a test tries: some in the suite, all of them when somebody has the time.

``ACTORFLOW_THOROUGH=1 make test`` tries all. A campaign (``make simulate``) tries any number.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TypeVar

__all__ = ["THOROUGH", "examples", "few", "sample", "seeds", "size", "some"]

Case = TypeVar("Case")

THOROUGH = bool(os.environ.get("ACTORFLOW_THOROUGH"))
"""Whether everything is to be tried."""

SHARE = 0.12
"""Of what a thorough run tries."""

FEWEST = 4


def seeds(count: int) -> range:
    """The seeds of a test that would like to try `count`.

    Example:
        >>> list(seeds(4))
        [0, 1, 2, 3]
    """
    return range(count if THOROUGH else min(count, max(FEWEST, round(count * SHARE))))


def size(specified: int, usual: int) -> int:
    """How much of something a scenario takes: what its specification says, or less in the suite.

    Example:
        >>> size(10_000, 400)
        400
    """
    return specified if THOROUGH else usual


def some(count: int) -> range:
    """Places among `count` that are much alike: every sixth in the suite, the last one too.

    Example:
        >>> list(some(8)), list(some(3))
        ([1, 7], [2])
    """
    step = 1 if THOROUGH else 6
    return range((count - 1) % step, count, step)


def few(places: range) -> range:
    """A range whose every fifth place is tried in the suite, the first one too.

    Example:
        >>> list(few(range(50, 61)))
        [50, 55, 60]
    """
    return places if THOROUGH else places[::5]


def sample(cases: Iterable[Case]) -> list[Case]:
    """Of cases that are much alike every sixth, the last one too.

    Example:
        >>> sample("abcdefgh")
        ['b', 'h']
    """
    every = list(cases)
    return [every[place] for place in some(len(every))]


def examples(count: int) -> int:
    """How many examples a property is tried with that would like to see `count`.

    Example:
        >>> examples(100)
        30
    """
    return count if THOROUGH else max(10, round(0.3 * count))
