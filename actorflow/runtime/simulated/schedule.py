"""The schedule: every choice of a simulated run, made by its seed.

A seed also chooses how it chooses. A schedule that is uniformly random at every step explores
little of what a real system does, where one pipe is full for a long time, one process far behind,
and each read gives a page or three bytes. So each seed draws its own conditions, and then lives by
them.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from random import Random
from typing import Any, Literal

from actorflow.errors import OptionError
from actorflow.records import dataclass
from actorflow.runtime.simulated.actors import Actor

__all__ = ["FEW", "FEW_OF_CONTROL", "Conditions", "Schedule"]

PICKS = ("uniform", "laggards", "priorities")
CUTS = ("whole", "random", "bytes")

FEW = 3
"""The most bytes that move at once under ``"bytes"``."""

FEW_OF_CONTROL = 40
"""The same of a control link. Nobody waits for room on it, and specifications and snapshots are
long: with three bytes at a time most steps of a run would be theirs."""

_rank = attrgetter("rank")


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """What the world of one run is like. What is left None is drawn from the seed.

    Args:
        pick: how the next action is chosen: ``"uniform"``; ``"laggards"``, where some actors are
            seldom chosen; ``"priorities"``, where the highest goes first and a few times in a run
            the order changes, which finds what needs one particular actor to be starved.
        cut: how much one read or write moves: ``"whole"``, all there is; ``"random"``, a random
            part; ``"bytes"``, one to three bytes, or one to forty of what a supervisor and a stage
            tell each other.
        eager: whether a process writes what fits into the pipe at once, or some time later.
        capacity: how many bytes a pipe holds, from 1.
        slowest: the longest that a callback takes per event, in virtual seconds, from 0. Each
            process draws a speed of its own between that and nothing.
        haste: the probability, at each step, that time moves on though something else could happen,
            so that a stage's timer fires in the middle of traffic.

    Raises:
        OptionError: a value breaks its rule.

    Example:
        >>> Conditions(capacity=64, cut="bytes").eager is None
        True
    """

    pick: Literal["uniform", "laggards", "priorities"] | None = None
    cut: Literal["whole", "random", "bytes"] | None = None
    eager: bool | None = None
    capacity: int | None = None
    slowest: float | None = None
    haste: float | None = None

    def __post_init__(self) -> None:
        for option, known in (("pick", PICKS), ("cut", CUTS)):
            if getattr(self, option) not in (None, *known):
                raise OptionError(option, "one of " + ", ".join(known), getattr(self, option))
        if self.capacity is not None and (type(self.capacity) is not int or self.capacity < 1):
            raise OptionError("capacity", "an integer of at least 1", self.capacity)
        for option in ("slowest", "haste"):
            if type(getattr(self, option)) not in (int, float, type(None)):
                raise OptionError(option, "a number", getattr(self, option))
        if self.slowest is not None and not self.slowest >= 0:
            raise OptionError("slowest", "a number of seconds from 0", self.slowest)
        if self.haste is not None and not 0 <= self.haste < 1:
            raise OptionError("haste", "a probability from 0 to below 1", self.haste)


class Schedule:
    """Makes the choices of one run.

    Args:
        seed: the same seed makes the same choices.
        conditions: what is fixed; the rest is drawn.
    """

    __slots__ = ("_cut", "_draw", "_lowest", "_random", "conditions", "eager", "haste", "pick")

    def __init__(self, seed: int, conditions: Conditions) -> None:
        # Text, as Random takes the absolute value of an integer: seeds 1 and -1 would be one.
        self._random = random = Random(f"actorflow {seed}")
        # Every draw is made whether it is used or not, so that fixing one condition leaves the
        # others of this seed as they were.
        drawn: dict[str, Any] = {
            "pick": random.choice(("uniform", "uniform", "laggards", "laggards", "priorities")),
            "cut": random.choice(("whole", "whole", "whole", "random", "random", "bytes")),
            "eager": random.random() < 0.6,
            "capacity": random.choice((16, 100, 1000, 65536, 65536)),
            "slowest": random.choice((0.0, 0.0, 0.001, 0.01)),
            "haste": random.choice((0.0, 0.0, 0.05)),
        }
        for option, value in drawn.items():
            given = getattr(conditions, option)
            drawn[option] = value if given is None else given
        self.conditions = Conditions(**drawn)
        self.eager: bool = drawn["eager"]
        self.haste: float = drawn["haste"]
        self._lowest = 0.0
        self._draw = random.random
        self.pick: Callable[[list[Actor]], Actor] = {
            "uniform": self._uniform,
            "laggards": self._spare_laggards,
            "priorities": self._by_rank,
        }[drawn["pick"]]
        """Who of those that are ready acts next; there is one at least."""
        self._cut: str = drawn["cut"]

    def cut(self, available: int, few: int = FEW) -> int:
        """How many of the available bytes move, from 1 to all; under ``"bytes"`` up to `few`."""
        if self._cut == "whole" or available == 1:
            return available
        if self._cut == "bytes":
            return min(available, 1 + int(self._draw() * few))
        return 1 + int(self._draw() * available)

    def speed(self) -> float:
        """A new process's virtual seconds per event; half of them take no time at all."""
        factor = self._random.random()
        return self.conditions.slowest * (2 * factor - 1) ** 3 if factor > 0.5 else 0.0  # type: ignore[operator]

    def hurries(self) -> bool:
        """Whether time moves on though something else could happen."""
        return self.haste > 0 and self._draw() < self.haste

    def among(self, count: int) -> int:
        """One of `count` things, from 0."""
        return int(self._draw() * count)

    # --- how actors are picked --------------------------------------------------------------------

    def _uniform(self, actors: list[Actor]) -> Actor:
        return actors[int(self._draw() * len(actors))]

    def _spare_laggards(self, actors: list[Actor]) -> Actor:
        random = self._draw
        actor = actors[int(random() * len(actors))]
        for _ in range(8):
            if actor.slow is None:
                actor.slow = random() < 0.25
            if not actor.slow:
                break
            actor = actors[int(random() * len(actors))]
        return actor

    def _by_rank(self, actors: list[Actor]) -> Actor:
        random = self._draw
        for actor in actors:
            if actor.rank is None:
                actor.rank = random()
        actor = max(actors, key=_rank)
        if random() < 0.01:
            self._lowest -= 1.0
            actor.rank = self._lowest
        return actor
