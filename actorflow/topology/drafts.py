"""Stages as far as they could be read, from a file or from Python: what is checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Any

from actorflow.errors import OptionError
from actorflow.records import dataclass
from actorflow.stage.behaviour import Stage, kind_of
from actorflow.stage.place import ProgramSource
from actorflow.topology.declarations import Defaults, SubscribeTo
from actorflow.topology.keys import STAGE
from actorflow.topology.planning import class_options
from actorflow.topology.report import Path

__all__ = ["Draft"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A stage as far as it could be read; what could not be is None, and was reported.

    Args:
        name: the stage's name.
        use: its class.
        args: the constructor's arguments.
        replicas: how many there are.
        options: the given fields of `StageOptions`.
        subscribe_to: the subscriptions by their place in the declaration.
        declared: whether the declaration says anything about subscriptions.
        source: what it reads when it lives in the program.
        restart: when it is started again, where it says so.
        significant: whether its end may shut its supervisor down.
        members: the producers that it manages; None when it manages none.
    """

    name: str
    use: type[Stage] | None = None
    args: Mapping[str, Any] | None = None
    replicas: int | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    subscribe_to: Mapping[int, SubscribeTo] = field(default_factory=dict)
    declared: bool = True
    source: ProgramSource | None = None
    restart: str | None = None
    significant: bool = False
    members: tuple[str, ...] | None = None

    @property
    def path(self) -> Path:
        """Where the stage is."""
        return ("stages", self.name)

    def delivery(self, defaults: Defaults) -> object:
        """What holds for its events: as declared, else the topology's, else its class's."""
        own = class_options(self.use) if self.use is not None else {}
        inherited = own.get("delivery", "at_least_once")
        return self.options.get("delivery", defaults.delivery or inherited)

    @property
    def kind(self) -> str | None:
        """What kind of stage it is, when that is known."""
        return None if self.use is None else kind_of(self.use)

    @property
    def dispatcher(self) -> object:
        """The dispatcher's description; None when it breaks its rule."""
        own = class_options(self.use) if self.use is not None else {}
        description = self.options.get("dispatcher", own.get("dispatcher", "demand"))
        try:
            STAGE.check(dispatcher=description)
        except OptionError:
            return None
        return description
