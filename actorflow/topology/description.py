"""The keys of a topology as the documentation shows them, read from the tables that check them."""

from __future__ import annotations

from collections.abc import Iterator

from actorflow.records import dataclass
from actorflow.topology.dispatchers import DISPATCHER_OPTIONS
from actorflow.topology.failing import RETRY
from actorflow.topology.keys import (
    BACKOFF,
    DEFAULTS,
    DYNAMIC,
    NESTED,
    STAGE,
    SUBSCRIPTION,
    SUPERVISOR,
    TOPOLOGY,
)
from actorflow.topology.tables import Table

__all__ = ["KeyDescription", "describe_keys"]


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyDescription:
    """A key as the documentation shows it.

    Args:
        where: the map that it is a key of, ``"stages.NAME"``; nothing for the topology itself.
        name: the key.
        accepts: what its value must be.
        default: what holds without it; nothing when it is required.
        required: whether it must be given.
        kinds: the kinds of stage that take it; nothing when all do.
        doc: what it is for.
    """

    where: str
    name: str
    accepts: str
    default: str
    required: bool
    kinds: tuple[str, ...]
    doc: str


def describe_keys() -> list[KeyDescription]:
    """Every key that a topology may have, map by map, in the order of the documentation.

    Example:
        >>> [row.name for row in describe_keys() if row.where == "supervisor"]
        ['strategy', 'order', 'max_restarts', 'max_seconds', 'auto_shutdown', 'ends_when_idle']
    """
    return [
        KeyDescription(
            where=table.where,
            name=key.name,
            accepts=key.rule.text,
            default="" if key.required else key.default or key.rule.default,
            required=key.required,
            kinds=key.kinds,
            doc=key.doc,
        )
        for table in _tables()
        for key in table.keys
    ]


def _tables() -> Iterator[Table]:
    yield from (
        TOPOLOGY,
        SUPERVISOR,
        NESTED,
        DYNAMIC,
        DEFAULTS,
        STAGE,
        RETRY,
        BACKOFF,
        SUBSCRIPTION,
    )
    yield from DISPATCHER_OPTIONS.values()
