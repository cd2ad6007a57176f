"""How many seeds a test tries: some in the suite, all of them when somebody has the time.

``ACTORFLOW_THOROUGH=1 make test`` tries all. A campaign (``make simulate``) tries any number.
"""

from __future__ import annotations

import os

__all__ = ["seeds", "some"]

SHARE = 0.3
"""Of what a thorough run tries."""

FEWEST = 5


def seeds(count: int) -> range:
    """The seeds of a test that would like to try `count`.

    Example:
        >>> list(seeds(4))
        [0, 1, 2, 3]
    """
    if os.environ.get("ACTORFLOW_THOROUGH"):
        return range(count)
    return range(min(count, max(FEWEST, round(count * SHARE))))


def some(count: int) -> range:
    """Places among `count` that are much alike: every third in the suite, the last one too.

    Example:
        >>> list(some(8)), list(some(3))
        ([1, 4, 7], [2])
    """
    step = 1 if os.environ.get("ACTORFLOW_THOROUGH") else 3
    return range((count - 1) % step, count, step)
