"""The dispatcher of a stage in a topology: its names, its options, and classes of one's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from actorflow.dispatch.broadcast import BroadcastDispatcher
from actorflow.dispatch.build import DISPATCHERS, build_dispatcher
from actorflow.dispatch.demand import DemandDispatcher
from actorflow.dispatch.partition import PartitionDispatcher
from actorflow.errors import OptionError
from actorflow.records import dataclass
from actorflow.topology.imports import CannotImport, import_object
from actorflow.topology.report import Path, Report, did_you_mean, explain, refused, show
from actorflow.topology.rules import BAD, Choice, Function, Integer, Leaf, Owned
from actorflow.topology.tables import Key, Table

__all__ = ["DISPATCHER_OPTIONS", "MAX_REPLICAS", "DispatcherRule"]

MAX_REPLICAS = 10_000
"""More replicas or partitions than this are a slip of the finger, and would exhaust the machine."""


@dataclass(frozen=True, slots=True)
class _Partitions(Leaf):
    """What `PartitionDispatcher` accepts as `partitions`, within reason."""

    def _text(self) -> str:
        return self._owned.text

    @property
    def _owned(self) -> Owned:
        return Owned(PartitionDispatcher, "partitions", {"by": id})

    def _refusal(self, option: str, value: object) -> OptionError | None:
        # The dispatcher makes a list of them, so a huge number must not even reach it.
        if type(value) is int and value > MAX_REPLICAS:
            return OptionError(option, f"a number from 1 to {MAX_REPLICAS}", value)
        return self._owned.refusal(option, value)


DISPATCHER_OPTIONS: dict[str, Table] = {
    "demand": Table(
        "the options of the demand dispatcher",
        "stages.NAME.dispatcher.demand",
        (
            Key(
                "shuffle_demands_on_first_dispatch",
                Owned(DemandDispatcher, "shuffle_demands_on_first_dispatch"),
                "Deal the first batch in random order, so that the first consumer to subscribe does"
                " not take everything.",
            ),
            Key("seed", Integer(0), "Makes that order repeatable.", default="random"),
            Key(
                "chunk",
                Owned(DemandDispatcher, "chunk"),
                "Deal in turns: at most so many events to one consumer, then to the next.",
            ),
        ),
    ),
    "broadcast": Table(
        "the options of the broadcast dispatcher",
        "stages.NAME.dispatcher.broadcast",
        (
            Key(
                "replay",
                Owned(BroadcastDispatcher, "replay"),
                "How many of the last events one that subscribes late gets first.",
            ),
        ),
    ),
    "ready": Table("the options of the ready dispatcher", "stages.NAME.dispatcher.ready", ()),
    "partition": Table(
        "the options of the partition dispatcher",
        "stages.NAME.dispatcher.partition",
        (
            Key(
                "partitions",
                _Partitions(),
                "The partitions: so many, numbered from 0, or their names.",
                required=True,
            ),
            Key(
                "by",
                Function(),
                "Returns an event's partition, or None to drop it; named partitions need it.",
                default="a stable hash of the event",
            ),
            Key(
                "when_unassigned",
                Owned(PartitionDispatcher, "when_unassigned", {"partitions": 1}),
                "What becomes of the events of a partition whose consumer has left for good.",
            ),
        ),
    ),
}
"""The options of each dispatcher."""


@dataclass(frozen=True, slots=True)
class DispatcherRule(Leaf):
    """A dispatcher: its name or its class, or a map from one of them to its options."""

    def _text(self) -> str:
        names = ", ".join(DISPATCHERS)
        return (
            f"one of {names}, a class as 'module:Class', or a map from one of them to its options"
        )

    def _default(self) -> str:
        return "demand"

    def _refusal(self, option: str, value: object) -> OptionError | None:
        try:
            build_dispatcher(value)
        except OptionError as error:
            return error
        return None

    def _read(self, value: Any, path: Path, report: Report) -> Any:
        if isinstance(value, Mapping) and len(value) == 1:
            ((name, options),) = value.items()
            return self._read_named(name, options, (*path, name), report)
        if not isinstance(value, str):
            report.add(path, refused(self.text, value))
            return BAD
        if ":" in value:
            return self._read_own(value, None, path, report.add)
        error = Choice(tuple(DISPATCHERS)).refusal("dispatcher", value)
        if error is not None:
            report.add(path, explain(error))
            return BAD
        return self._read_options(value, None, path, report)

    def _read_named(self, name: Any, options: Any, path: Path, report: Report) -> Any:
        if isinstance(name, str) and ":" in name:
            if options is None or isinstance(options, Mapping):
                return self._read_own(name, options, path, report.add_key)
            report.add(path, refused("a map of the constructor's arguments", options))
            return BAD
        if name not in DISPATCHERS:
            message = f"unknown dispatcher {show(name)}{did_you_mean(name, DISPATCHERS)}"
            report.add_key(path, message)
            return BAD
        return self._read_options(name, options, path, report)

    def _read_own(
        self,
        name: str,
        options: Mapping[str, Any] | None,
        path: Path,
        add: Callable[[Path, str], None],
    ) -> Any:
        """A class of one's own: it can be imported, is a dispatcher, and takes the options."""
        try:
            import_object(name)
        except CannotImport as error:
            add(path, str(error).replace("'module:name'", "'module:Class'"))
            return BAD
        refusal = self.refusal("dispatcher", {name: options})
        if refusal is None:
            return {name: dict(options)} if options else name
        option = "" if refusal.option == "dispatcher" else f"{refusal.option} "
        add(path, option + explain(refusal))
        return BAD

    def _read_options(self, name: str, options: Any, path: Path, report: Report) -> Any:
        read = DISPATCHER_OPTIONS[name].read({} if options is None else options, path, report)
        if read is BAD or BAD in read.values():
            return BAD
        refusal = self.refusal("dispatcher", {name: read})
        if refusal is None:
            return {name: read} if read else name
        # An option that is missing has no place of its own.
        if refusal.option in read:
            report.add((*path, refusal.option), explain(refusal))
        else:
            report.add(path, f"{refusal.option} must be {refusal.rule}")
        return BAD
