"""All that a process, or a thread of the program, needs to become a stage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Any

from actorflow.protocol.identity import StageId
from actorflow.records import dataclass
from actorflow.stage.behaviour import Stage
from actorflow.stage.options import StageOptions
from actorflow.stage.place import Place
from actorflow.stage.restored import Restored

__all__ = ["StageSpec"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StageSpec:
    """What to run as a stage.

    Args:
        id: the stage's name and index.
        behaviour: the class, a subclass of Producer, ProducerConsumer or Consumer.
        arguments: the constructor's keyword arguments.
        options: how it produces.
        replicas: how many stages of this name there are.
        place: what it shares with the calling program when it lives there, on a thread; None for
            a process of its own.
        restored: what it goes on from; None for its first life.

    Example:
        >>> from actorflow.stage.behaviour import Producer
        >>> str(StageSpec(id=StageId("numbers"), behaviour=Producer).id)
        'numbers/0'
    """

    id: StageId
    behaviour: type[Stage]
    arguments: Mapping[str, Any] = field(default_factory=dict)
    options: StageOptions = field(default_factory=StageOptions)
    replicas: int = 1
    place: Place | None = None
    restored: Restored | None = None
