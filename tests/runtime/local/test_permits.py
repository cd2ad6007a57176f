"""Permits over the socket: held by a connection, and back when it is closed, however that is."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from actorflow import Broken, CallTimeout, NotInStage, OptionError, permit
from actorflow.runtime.local.permits import PermitOffice
from actorflow.runtime.local.reactor import Reactor
from actorflow.runtime.local.runtime import LocalRuntime
from actorflow.stages.permits import PERMITS_ADDRESS


class Host:
    """A reactor with an office of one permit."""

    def __init__(self) -> None:
        self.errors: list[BaseException] = []
        self.reactor = Reactor("test-permits", self.errors.append)
        self.office = PermitOffice({"pool": 1}, self.reactor)
        self.reactor.start()

    def connect(self, said: bytes = b"") -> socket.socket:
        """A client that says something, right or wrong."""
        client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        client.settimeout(10)
        client.connect(self.office.address.replace("@", "\0", 1))
        if said:
            client.sendall(said)
        return client

    def do(self, act: Callable[[], None]) -> None:
        """Do something on the reactor's thread."""
        done = threading.Event()
        self.reactor.post(lambda: (act(), done.set()))
        assert done.wait(10)

    def close(self) -> None:
        """End the office and its thread."""
        self.do(self.office.close)
        self.reactor.stop()
        assert self.reactor.join(10)
        assert self.errors == []


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    """An office that this process gets its permits from."""
    office = Host()
    monkeypatch.setenv(PERMITS_ADDRESS, office.office.address)
    yield office
    office.close()


def test_a_permit_is_held_for_the_time_of_the_block(host: Host) -> None:
    """The second waits for the first, and gives up in time; then it gets it."""
    with permit("pool"), pytest.raises(CallTimeout, match=r"no permit 'pool' within 0.01 s"):
        permit("pool", timeout=0.01).__enter__()
    with permit("pool", timeout=10):
        pass


def test_d_17_an_exception_in_the_block_gives_the_permit_back(host: Host) -> None:
    """A body that raises leaves no connection behind."""
    with pytest.raises(ValueError, match="no"), permit("pool"):
        raise ValueError("no")
    with permit("pool", timeout=10):
        pass


def test_coroutines_wait_in_order_and_may_be_cancelled(host: Host) -> None:
    """One that is cancelled while it waits is passed over."""
    got: list[str] = []

    async def take(name: str) -> None:
        async with permit("pool"):
            got.append(name)

    async def story() -> None:
        async with permit("pool"):
            tasks = []
            for name in ("first", "cancelled", "last"):
                tasks.append(asyncio.create_task(take(name)))
                await asyncio.sleep(0)
            with pytest.raises(CallTimeout):
                # Later than those three: when it has been refused, they have been heard.
                await permit("pool", timeout=0.05).__aenter__()
            tasks[1].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(story())
    assert got == ["first", "last"]


def test_a_name_that_is_not_there_is_refused(host: Host) -> None:
    """The error lists those that are."""
    with pytest.raises(
        OptionError, match="name must be one of the run's permits, pool, got 'lock'"
    ):
        permit("lock").__enter__()


@pytest.mark.parametrize("garbage", [b"\xff\xfe\n", b"x" * 5_000, b"\n"])
def test_garbage_ends_its_own_connection_alone(host: Host, garbage: bytes) -> None:
    """Nobody else notices."""
    with host.connect(garbage) as client:
        assert client.recv(1) == b"-"
    with permit("pool", timeout=10):
        pass


def test_who_asks_twice_is_thrown_out(host: Host) -> None:
    """It has broken the rule of one permit for each connection, and loses that."""
    with host.connect(b"pool\n") as client:
        assert client.recv(1) == b"+"
        client.sendall(b"pool\n")
        with permit("pool", timeout=10):
            pass


def test_a_client_that_says_nothing_holds_nothing(host: Host) -> None:
    """It may sit there as long as it likes."""
    with host.connect(), permit("pool", timeout=10):
        pass


def test_those_who_wait_see_the_end_of_the_run(host: Host) -> None:
    """Waiting for what nobody will give would be a hang."""
    with permit("pool"):
        failed: list[BaseException] = []

        def wait() -> None:
            try:
                permit("pool").__enter__()
            except Broken as error:
                failed.append(error)

        thread = threading.Thread(target=wait)
        thread.start()
        with pytest.raises(CallTimeout):
            permit("pool", timeout=0.05).__enter__()
        host.do(host.office.close)
        thread.join(10)
        assert "is gone" in str(failed)


def test_there_are_none_outside_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says where they belong, and how a topology gets some."""
    monkeypatch.delenv(PERMITS_ADDRESS, raising=False)
    with pytest.raises(NotInStage, match="whose topology has some: permits="):
        permit("pool").__enter__()


@pytest.mark.parametrize("permits", [{"pool": 0}, {"pool": True}, {5: 1}, {"": 1}, [("pool", 1)]])
def test_bad_numbers_are_refused(permits: object) -> None:
    """Where a runtime, or a topology, is made."""
    from actorflow import Topology

    for make in (LocalRuntime, lambda permits: Topology("bad", permits=permits)):
        with pytest.raises(OptionError, match="permits must be a map from names to integers"):
            make(permits=permits)  # type: ignore[operator]
