"""The options of a pool, checked where they are given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, Literal

from actorflow.errors import OptionError
from actorflow.protocol.arguments import (
    check_fields,
    check_instance,
    check_integer,
    check_seconds,
)
from actorflow.records import dataclass

__all__ = ["InFlight", "MemoryBudget", "PoolOptions"]

OVERFLOWS = ("inline", "spill", "fail_query")
DEALS = ("local", "global", "round_robin", "choose_two")
STEALS = ("idle", "none")


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryBudget:
    """How much all tasks of a pool may hold together, by what they `TaskContext.reserve`.

    Args:
        limit: units, bytes as a rule, from 1.
        patience: seconds from 0 that a task waits for its share while others work. Then the query
            that holds the most is shed. When nobody works who could give some back, that happens
            at once.

    Raises:
        OptionError: an argument breaks its rule.

    Example:
        >>> MemoryBudget(limit=64 << 20, patience=0.5).limit
        67108864
    """

    limit: int
    patience: float = 1.0

    def __post_init__(self) -> None:
        check_integer("limit", self.limit, 1)
        check_seconds("patience", self.patience)


@dataclass(frozen=True, slots=True, kw_only=True)
class InFlight:
    """How many events of one producer may be under way or unfinished here.

    Args:
        limit: that many, from 1.
        most: where `limit` may grow to: by `step` each time the producer had to wait although
            workers could have had more; halved down to `limit` when nothing comes. None for a
            limit that does not grow.
        step: by how many it grows, from 1.

    Raises:
        OptionError: an argument breaks its rule.

    Example:
        >>> InFlight(limit=8, most=64)
        InFlight(limit=8, most=64, step=4)
        >>> InFlight(limit=8, most=4)
        Traceback (most recent call last):
        ...
        actorflow.errors.OptionError: most must be an integer of at least 8, got 4
    """

    limit: int = 64
    most: int | None = None
    step: int = 4

    def __post_init__(self) -> None:
        check_integer("limit", self.limit, 1)
        check_integer("step", self.step, 1)
        if self.most is not None:
            check_integer("most", self.most, self.limit)


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolOptions:
    """Everything that can be said about a pool but its queries; see `TaskPool`."""

    workers: int | None = None
    admission_size: int = 1000
    internal_soft_limit: int = 10_000
    internal_bytes_limit: int = 256 << 20
    on_overflow: Literal["inline", "spill", "fail_query"] = "inline"
    output_size: int = 1000
    deal: Literal["local", "global", "round_robin", "choose_two"] = "local"
    steal: Literal["idle", "none"] = "idle"
    fair: bool = False
    max_inline_depth: int = 64
    memory: MemoryBudget | None = None
    in_flight: InFlight = InFlight(limit=64, most=4096, step=256)

    def __post_init__(self) -> None:
        if self.workers is not None:
            check_integer("workers", self.workers, 1)
        for option in (
            "admission_size",
            "internal_soft_limit",
            "internal_bytes_limit",
            "output_size",
            "max_inline_depth",
        ):
            check_integer(option, getattr(self, option), 1)
        for option, known in (("on_overflow", OVERFLOWS), ("deal", DEALS), ("steal", STEALS)):
            if getattr(self, option) not in known:
                raise OptionError(option, "one of " + ", ".join(known), getattr(self, option))
        if type(self.fair) is not bool:
            raise OptionError("fair", "true or false", self.fair)
        self._take_map("memory", MemoryBudget)
        self._take_map("in_flight", InFlight)
        if self.memory is not None:
            check_instance("memory", self.memory, MemoryBudget)
        check_instance("in_flight", self.in_flight, InFlight)

    def _take_map(self, option: str, kind: type[Any]) -> None:
        """A map of fields, as YAML has it, stands for the object."""
        given = getattr(self, option)
        if isinstance(given, Mapping):
            known = [each.name for each in fields(kind)]
            rule = "a map of " + ", ".join(known)
            check_fields(option, given, known, rule)
            if kind is MemoryBudget and "limit" not in given:
                raise OptionError(option, rule, dict(given), "it needs a limit")
            object.__setattr__(self, option, kind(**given))
