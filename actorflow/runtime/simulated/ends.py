"""What a simulated process holds of channels, as a real one holds descriptors."""

from __future__ import annotations

from actorflow.records import dataclass
from actorflow.runtime.simulated.channel import Channel, Reader
from actorflow.stage.work import CONTROL_LINK

__all__ = ["Ends", "LinkEnd"]


@dataclass(slots=True)
class LinkEnd:
    """One end of a link: the channel to read from and the one to write to."""

    inbound: Channel
    outbound: Channel

    def release(self) -> None:
        """Close both; what is not in the pipe yet is lost."""
        self.outbound.kill_writer()
        self.inbound.close_reader()


@dataclass(frozen=True, slots=True)
class _Held:
    channel: Channel
    frame: bytes


class Ends:
    """The two channels of a process's control link, and its ends of links by their numbers.

    Args:
        down: from the supervisor.
        up: to the supervisor.
    """

    def __init__(self, down: Channel, up: Channel) -> None:
        self.down = down
        self.up = up
        self.opened: dict[int, LinkEnd] = {}
        self._arriving: dict[int, LinkEnd] = {}
        self._held: list[_Held] = []
        self._holding = False

    def __contains__(self, link: int) -> bool:
        return link == CONTROL_LINK or link in self.opened

    def give(self, link: int, end: LinkEnd) -> None:
        """An end is on its way to the process, beside a message."""
        self._arriving[link] = end

    def open(self, link: int, reader: Reader) -> None:
        """Take the end that arrived beside the message in hand."""
        end = self._arriving.pop(link)
        self.opened[link] = end
        end.inbound.attach(reader)

    def outbound(self, link: int) -> Channel | None:
        """Where frames on a link go; None when it is closed."""
        if link == CONTROL_LINK:
            return self.up
        end = self.opened.get(link)
        return None if end is None else end.outbound

    def write(self, channel: Channel, head: bytes, body: bytes) -> None:
        """Put a frame into a channel's outbox, or hold it back."""
        if self._holding:
            self._held.append(_Held(channel, head + body))
        else:
            channel.write(head, body)

    def hold_back(self) -> None:
        """Nothing that is written from here on leaves, until `let_go`."""
        self._holding = True

    def let_go(self) -> None:
        """What was held back leaves, in order."""
        self._holding = False
        held, self._held = self._held, []
        for each in held:
            each.channel.write(each.frame)

    def close(self, link: int) -> None:
        """Close an end once its outbox has left; until then, what arrives is still read."""
        end = self.opened.get(link)
        if end is not None and not end.outbound.closing:
            end.outbound.close_when_written(lambda: self.release(link))

    def release(self, link: int) -> None:
        """Close an end at once."""
        end = self.opened.pop(link, None)
        if end is not None:
            end.release()

    def release_all(self) -> None:
        """The process is gone: everything it had is closed, what was arriving too."""
        self.up.kill_writer()
        self.down.close_reader()
        for end in (*self.opened.values(), *self._arriving.values()):
            end.release()
        self.opened.clear()
        self._arriving.clear()

    def reading(self) -> list[Channel]:
        """Every channel that the process reads from."""
        return [*(end.inbound for end in self.opened.values()), self.down]

    def writing(self) -> list[Channel]:
        """Every channel that the process writes to."""
        return [self.up, *(end.outbound for end in self.opened.values())]
