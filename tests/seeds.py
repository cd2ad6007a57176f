"""How many seeds a test tries: some in the suite, all of them when somebody has the time.

``ACTORFLOW_THOROUGH=1 make test`` tries all. A campaign (``make simulate``) tries any number.
"""

from __future__ import annotations

import os

__all__ = ["seeds"]

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
