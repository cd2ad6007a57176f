"""A stage's end of its control link, as its loop waits for it."""

from __future__ import annotations

from typing import Protocol

from actorflow.runtime.local.control import ControlSocket
from actorflow.runtime.local.pipes import Watcher
from actorflow.runtime.local.poller import READABLE, WRITABLE
from actorflow.stage.machine import StageMachine
from actorflow.stage.work import CONTROL_LINK

__all__ = ["ControlLink", "Driver"]


class Driver(Watcher, Protocol):
    """A stage's loop, to those who wait in it for what their stage's machine is told."""

    machine: StageMachine


class ControlLink:
    """Gives the machine what the supervisor says, and writes what it is told when there is room.

    Args:
        socket: the link; owned from now on.
        driver: the loop; its machine need not be there before something has come.
    """

    def __init__(self, socket: ControlSocket, driver: Driver) -> None:
        self.socket = socket
        self.descriptor = socket.fileno()
        """What is waited for; -1 after the end."""
        self._driver = driver
        self._waits = False
        """Whether the loop has been asked to tell when there is room."""
        driver.watch(self.descriptor, self._ready)

    def send(self, frame: bytes) -> None:
        """Write a frame now as far as the kernel takes it, the rest when it takes more."""
        self.socket.send(frame)
        self._watch_room()

    @property
    def congested(self) -> bool:
        """Whether the host does not keep up with reading it."""
        return self.socket.wants_write

    def _ready(self, events: int) -> None:
        if events & WRITABLE:
            self.socket.flush()
            self._watch_room()
        if not events & ~WRITABLE:
            return
        machine = self._driver.machine
        for frame in self.socket.receive():
            # One by one: what comes after a frame that breaks something is still for the machine.
            try:
                machine.receive(CONTROL_LINK, frame)
            except Exception as error:  # noqa: BLE001  (it reaches the supervisor, with its traceback)
                machine.fail(error)
        if self.socket.at_end and self.descriptor >= 0:
            self._driver.unwatch(self.descriptor)
            self.descriptor = -1
            machine.link_closed(CONTROL_LINK)

    def _watch_room(self) -> None:
        """Wait for room exactly while something waits to be written."""
        wants = self.socket.wants_write
        if wants != self._waits and self.descriptor >= 0:
            self._waits = wants
            events = READABLE | WRITABLE if wants else READABLE
            self._driver.unwatch(self.descriptor)
            self._driver.watch(self.descriptor, self._ready, events)
