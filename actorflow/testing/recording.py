"""What a stage under test did: every message it sent and every callback that was called."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from actorflow.protocol import control
from actorflow.protocol.codec import decode_events
from actorflow.protocol.messages import Ask, Cast, Message, Reply, Route, RouteEos
from actorflow.protocol.wire import decode
from actorflow.records import dataclass
from actorflow.stage.counters import SLOT_SIZE, named
from actorflow.stage.link_counters import HALF_SIZE, LinkSlot
from actorflow.stage.work import CONTROL_LINK

__all__ = ["Called", "Recording", "Sent"]


@dataclass(frozen=True, slots=True)
class Sent:
    """The stage sent a message on a link; link 0 is its supervisor."""

    link: int
    message: Message


@dataclass(frozen=True, slots=True)
class Called:
    """A callback of the stage was called; it stands in the trace before what the callback sent."""

    label: str
    args: tuple[Any, ...]


class Recording:
    """A stage's port that keeps everything, and the questions to ask of it."""

    def __init__(self) -> None:
        self.trace: list[Sent | Called] = []
        """Every message sent and every callback called, in order."""
        self.log: list[control.LogRecord] = []
        """What the stage logged."""
        self.told: list[control.Control] = []
        """What the stage told its supervisor, log lines left out."""
        self.exiting: control.Exiting | None = None
        """The stage's last words, once it has ended."""
        self.opened: set[int] = set()
        """The links whose ends the stage has taken and not closed."""
        self.closed: set[int] = set()
        """The links that the stage has closed."""
        self.congested = False
        """Whether the stage finds its supervisor too busy to read."""
        self.slot = [0] * SLOT_SIZE
        """The stage's scoreboard slot; `counters` reads it by name."""
        self.link_slots: dict[int, list[int]] = {}
        """What the stage counted on its links, by the place that they were announced with."""
        self._frames: dict[int, list[bytes]] = {}
        self._replies: dict[int, Reply] = {}

    # --- what the stage did ----------------------------------------------------------------------

    def sent(self, link: int) -> list[Message]:
        """Everything the stage sent on a link, in order."""
        return [each.message for each in self.trace if isinstance(each, Sent) and each.link == link]

    def batches(self, ref: int) -> list[Route]:
        """The event messages the stage sent on a subscription."""
        return [each for each in self.sent(ref) if isinstance(each, Route)]

    def events(self, ref: int) -> list[list[Any]]:
        """The events of each message the stage sent on a subscription."""
        return [decode_events(each.codec, each.body) for each in self.batches(ref)]

    def asks(self, ref: int) -> list[int]:
        """How much the stage asked for, ask by ask; bare acknowledgements are left out."""
        return [each.count for each in self.sent(ref) if isinstance(each, Ask) and each.count]

    def acked(self, ref: int) -> int:
        """Up to which batch the stage has acknowledged."""
        return max((each.acked for each in self.sent(ref) if isinstance(each, Ask)), default=0)

    def eos_reasons(self, ref: int) -> list[Any]:
        """The reasons with which the stage ended a subscription."""
        return [each.reason for each in self.sent(ref) if isinstance(each, RouteEos)]

    def calls(self, label: str) -> list[tuple[Any, ...]]:
        """The arguments of every call of one callback."""
        return [
            each.args for each in self.trace if isinstance(each, Called) and each.label == label
        ]

    @property
    def counters(self) -> Mapping[str, int]:
        """The stage's counters by name."""
        return named(self.slot)

    def take_frames(self, link: int) -> list[bytes]:
        """The frames sent on a link since the last call, to be given to another harness."""
        return self._frames.pop(link, [])

    # --- the machine's port ----------------------------------------------------------------------

    def send(self, link: int, head: bytes, body: bytes = b"") -> None:
        """Take a frame from the stage."""
        data = head + body
        self._frames.setdefault(link, []).append(data)
        message = decode(data[4:])
        self.trace.append(Sent(link, message))
        if isinstance(message, Reply):
            self._replies[message.ref] = message
        elif link == CONTROL_LINK and isinstance(message, Cast):
            self._hear(control.decode_control(message))

    def open(self, link: int) -> None:
        """The stage takes its end of a link."""
        self.opened.add(link)

    def link_counters(self, place: int, role: str) -> LinkSlot:
        """This end's half of what is counted on a link; every link has one."""
        return self.link_slots.setdefault(place, [0] * HALF_SIZE) if place >= 0 else None

    def blob_space(self, size: int) -> None:
        """Large buffers travel in the bodies."""

    def blobs(self, link: int) -> None:
        """Large buffers are in the bodies."""

    def close(self, link: int) -> None:
        """The stage closes its end of a link."""
        self.opened.discard(link)
        self.closed.add(link)

    # --- within

    def _hear(self, record: control.Control) -> None:
        if isinstance(record, control.LogRecord):
            self.log.append(record)
        else:
            self.told.append(record)
        if isinstance(record, control.Exiting):
            self.exiting = record
