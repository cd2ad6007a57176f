"""The seam between the decisions about scans and the places where scans run."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

from actorflow.records import dataclass
from actorflow.stage.companions import CompanionRuntime
from actorflow.stages.scans.host import ScanHost

__all__ = ["Answer", "Hosts", "HostsBeside", "HostsInside"]


@dataclass(frozen=True, slots=True)
class Answer:
    """What a host has said."""

    host: int
    messages: Sequence[Any]


class Hosts(ABC):
    """Where scans run. A host is named by a number that is never used twice; nothing here waits."""

    @abstractmethod
    def start(self, host: int) -> None:
        """Let a host live.

        Raises:
            OSError: there is no process or thread to be had.
        """

    @abstractmethod
    def tell(self, hosts: Sequence[int], message: Any) -> None:
        """Tell hosts the same; those that are gone miss nothing."""

    @abstractmethod
    def let_go(self, host: int) -> None:
        """This host is needed no more."""

    @abstractmethod
    def kill(self, host: int) -> None:
        """End a host now."""

    @abstractmethod
    def pid(self, host: int) -> int:
        """Its process; 0 when it has none."""

    def answers(self) -> list[Answer]:
        """What hosts that work while they are asked have to say; nothing of the others."""
        return []


class HostsBeside(Hosts):
    """Each host is a companion of the stage.

    Args:
        runtime: where companions live.
    """

    def __init__(self, runtime: CompanionRuntime) -> None:
        self._runtime = runtime

    def start(self, host: int) -> None:
        """As `Hosts.start`."""
        self._runtime.start(host, ScanHost())

    def tell(self, hosts: Sequence[int], message: Any) -> None:
        """As `Hosts.tell`."""
        self._runtime.tell(hosts, message)

    def let_go(self, host: int) -> None:
        """As `Hosts.let_go`."""
        self._runtime.let_go(host)

    def kill(self, host: int) -> None:
        """As `Hosts.kill`."""
        self._runtime.kill(host)

    def pid(self, host: int) -> int:
        """As `Hosts.pid`."""
        return self._runtime.pid(host)


class HostsInside(Hosts):
    """Scans that run in the stage's own callbacks: their work is done when it is asked for."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._hosts: dict[int, ScanHost] = {}

    def start(self, host: int) -> None:
        """As `Hosts.start`."""
        self._hosts[host] = ScanHost(self._clock)

    def tell(self, hosts: Sequence[int], message: Any) -> None:
        """As `Hosts.tell`."""
        for host in hosts:
            if host in self._hosts:
                self._hosts[host].told(message)

    def let_go(self, host: int) -> None:
        """As `Hosts.let_go`."""
        found = self._hosts.pop(host, None)
        if found is not None:
            found.let_go()

    def kill(self, host: int) -> None:
        """As `Hosts.kill`: nothing runs now, so nothing has to be ended."""
        self.let_go(host)

    def pid(self, host: int) -> int:
        """There is no process of its own."""
        return 0

    def answers(self) -> list[Answer]:
        """The work of every host, to its end."""
        return [
            Answer(number, host.work(float("inf")))
            for number, host in list(self._hosts.items())
            if host.busy
        ]
