"""Work items: what a driver does next for a stage, and the port it does it through."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from actorflow.records import dataclass

if TYPE_CHECKING:
    from actorflow.protocol.blobs import BlobSource, BlobSpace
    from actorflow.stage.children import ChildKind, ChildRuntime, Observer
    from actorflow.stage.companions import CompanionObserver, CompanionRuntime
    from actorflow.stage.link_counters import LinkSlot

__all__ = ["CONTROL_LINK", "Port", "Work", "read_out"]

CONTROL_LINK = 0
"""The link to the supervisor. Every other link is named by the subscription it was made for."""


@dataclass(slots=True)
class Work:
    """One call of a behaviour's callback.

    A driver calls ``call(*args)``, has `read_out` take what it returned, and hands that, and how
    long it took, to the machine's `complete`; or the exception to its `fail`.

    Args:
        label: the callback's name, for logs and stall reports.
        call: the callback.
        args: its arguments.
        done: what the machine does with the result and the seconds it took.
        events: how many events are in hand.
        ref: the subscription that they came by, 0 without any.
        message: the sequence number of the message that they came in.
    """

    label: str
    call: Callable[..., Any]
    args: tuple[Any, ...]
    done: Callable[[Any, float], None]
    events: int = 0
    ref: int = 0
    message: int = 0


def read_out(result: Any) -> Any:
    """What a callback returned; an iterator, such as a generator, as the list of what it gives.

    A generator works while it is read. Read here, by the driver, that is part of the callback: its
    time counts, and a process that dies of it has its batch in hand.

    Example:
        >>> read_out(map(str, [1, 2])), read_out(range(2)), read_out(None)
        (['1', '2'], range(0, 2), None)
    """
    return list(result) if hasattr(result, "__next__") else result


class Port(Protocol):
    """What a machine may tell its driver about links. None of it ever blocks or raises."""

    @property
    def congested(self) -> bool:
        """Whether the control link has a backlog, so that log lines had better be dropped."""

    def send(self, link: int, head: bytes, body: bytes = b"") -> None:
        """Send one frame, given in two parts so that a large body is not copied."""

    def open(self, link: int) -> None:
        """The descriptors of a new link have arrived beside the message in hand."""

    def link_counters(self, place: int, role: str) -> LinkSlot:
        """This end's half of a link's scoreboard slot.

        Args:
            place: the slot, as the link's announcement has it.
            role: ``"producer"`` or ``"consumer"``: which end this is.
        """

    def blob_space(self, size: int) -> BlobSpace | None:
        """Where large buffers of what the stage emits are put; None for into the bodies.

        Args:
            size: how many bytes it may have; 0 for none.
        """

    def blobs(self, link: int) -> BlobSource | None:
        """Where large buffers of what comes on a link are; None for in the bodies."""

    def close(self, link: int) -> None:
        """Nothing more is sent on this link or expected from it; what is queued still leaves."""

    def children(self, kind: ChildKind, observe: Observer) -> ChildRuntime:
        """Where children of the stage live, to be told of through `observe`."""

    def companions(self, place: str, observer: CompanionObserver) -> CompanionRuntime:
        """Where companions of the stage live.

        Args:
            place: ``"process"`` or ``"thread"``: what each has of its own.
            observer: is told of them.
        """

    def drain(self, link: int) -> None:
        """The peer is dead: feed everything it wrote to the machine now, then its end."""
