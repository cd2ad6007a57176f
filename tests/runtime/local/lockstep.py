"""Stage loops in turns: real loops on real pipes, one at a time, on a clock that looks move.

Which calls a stage makes depends on who runs when, and on the clock. Here each loop has a thread,
and a baton goes round: a loop has it until it would wait. So a run makes the same calls every time,
on every machine, and they can be counted.
"""

from __future__ import annotations

import socket
import sys
import threading
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from types import FrameType
from typing import Any

import pytest

from actorflow.protocol import codec, control, wire
from actorflow.protocol.identity import Incarnation
from actorflow.protocol.messages import Message
from actorflow.runtime.local import loop
from actorflow.runtime.local.control import ControlSocket, control_pair
from actorflow.runtime.local.links import make_link
from actorflow.runtime.local.poller import Poller, new_poller
from actorflow.stage.counters import SLOT_SIZE
from actorflow.stage.spec import StageSpec

__all__ = ["Calls", "run_in_turns"]

TICK = 1_000
"""Nanoseconds that pass with each look at the clock."""

WITHIN = 30.0
"""Seconds in which a loop has the baton again, or something hangs."""

_SYSTEM = ("posix", "select", "_socket", "fcntl")
"""The modules whose functions in C ask the system; a look at the clock does not."""

_CODECS = {codec.__file__: "events", wire.__file__: "messages"}
_ENCODES = {"encode": "encode", "dump": "encode", "decode": "decode"}
"""How functions of those files begin, and what these do."""


class Calls(Counter[str]):
    """What a stage has called by now, by name.

    The system's functions by their own, ``encode events`` and the like for what makes bytes of
    something or the reverse, ``pickle`` for the module's functions both ways, and ``woken`` for
    each time that it had nothing to do and waited.
    """

    def watch(self, frame: FrameType, event: str, called: Any) -> None:
        """Count what a thread calls: for `sys.setprofile`."""
        code = frame.f_code
        if event == "call":
            what = _ENCODES.get(code.co_name.partition("_")[0])
            if what and code.co_filename in _CODECS and not _within_codecs(frame.f_back):
                self[f"{what} {_CODECS[code.co_filename]}"] += 1
        elif event == "c_call" and code.co_filename != __file__:
            # A function knows its module, a method the object whose class does.
            owner = called.__module__ or type(called.__self__).__module__
            if owner in _SYSTEM:
                self[called.__name__] += 1
            elif owner == "_pickle":
                self["pickle"] += 1


def _within_codecs(frame: FrameType | None) -> bool:
    return frame is not None and frame.f_code.co_filename in _CODECS


class _Clock:
    """Stands for the module `time`; each look moves it."""

    def __init__(self) -> None:
        self.nanoseconds = 1_000_000_000

    def monotonic_ns(self) -> int:
        self.nanoseconds += TICK
        return self.nanoseconds

    def monotonic(self) -> float:
        return self.monotonic_ns() * 1e-9


class _Baton:
    """Says whose turn it is; when nobody has anything to do, moves the clock to the next timer."""

    def __init__(self, names: Sequence[str], clock: _Clock) -> None:
        self._turn = threading.Condition()
        self._order = list(names)
        self._clock = clock
        self._due: dict[str, float | None] = {}
        """Who waits, and until when."""

    def begin(self, name: str) -> None:
        """Wait for the first turn."""
        with self._turn:
            self._await(name)

    def worked(self) -> None:
        """Who has the baton has done something, of which there may be something for the others."""
        self._due.clear()

    def pass_on(self, name: str, due: float | None) -> None:
        """Nothing to do until `due`: the next one's turn, until it is this one's again."""
        with self._turn:
            self._due[name] = due
            self._order.append(self._order.pop(0))
            if len(self._due) == len(self._order):
                self._move_clock()
            self._turn.notify_all()
            self._await(name)

    def leave(self, name: str) -> None:
        """It has ended."""
        with self._turn:
            self._order.remove(name)
            self._due.clear()
            self._turn.notify_all()

    def _move_clock(self) -> None:
        moments = [due for due in self._due.values() if due is not None]
        if not moments:
            raise AssertionError(f"every stage waits for ever: {sorted(self._due)}")
        self._clock.nanoseconds = max(self._clock.nanoseconds, int(min(moments) * 1e9))
        self._due.clear()

    def _await(self, name: str) -> None:
        if not self._turn.wait_for(lambda: self._order[0] == name, WITHIN):
            raise AssertionError(f"{name} has waited {WITHIN:g} s for its turn")


class _Turns:
    """A poller that gives the baton away instead of waiting."""

    def __init__(self, name: str, baton: _Baton, clock: _Clock, calls: Calls) -> None:
        self._name = name
        self._baton = baton
        self._clock = clock
        self._calls = calls
        self._poller: Poller = new_poller()
        self.register = self._poller.register
        self.unregister = self._poller.unregister
        self.close = self._poller.close

    def wait(self, seconds: float | None) -> list[tuple[int, int]]:
        self._calls["poll"] += 1
        self._baton.worked()
        ready = self._poller.wait(0.0)
        if ready or seconds == 0:
            return ready
        due = None if seconds is None else self._clock.nanoseconds * 1e-9 + seconds
        while not ready and (due is None or self._clock.nanoseconds * 1e-9 < due):
            self._baton.pass_on(self._name, due)
            ready = self._poller.wait(0.0)
        self._calls["woken"] += 1
        return ready


class _Player:
    """A stage in its thread."""

    def __init__(self, spec: StageSpec) -> None:
        self.spec = spec
        self.name = spec.id.name
        self.child = Incarnation(spec.id, 1)
        self.calls = Calls()
        self.host, descriptor = control_pair()
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0, descriptor)
        self.control = ControlSocket(sock)
        self.producers: list[str] = []
        self.consumers: list[str] = []
        self.links: list[tuple[control.Link, tuple[int, int]]] = []
        self.status: int | BaseException | None = None
        self.said: list[Message] = []

    def announce(self) -> None:
        """Send what a supervisor sends a stage that is ready."""
        edges = [link.edge for link, _ in self.links if link.role == "producer"]
        self._tell(control.Expect(self.producers, self.consumers, edges))
        for link, descriptors in self.links:
            self._tell(link, descriptors)

    def _tell(self, record: control.Control, descriptors: tuple[int, ...] = ()) -> None:
        self.host.send(wire.encode(control.encode_control(record)), descriptors)

    def live(self, baton: _Baton) -> None:
        """Run the loop, in a thread of its own."""
        running = None
        try:
            baton.begin(self.name)
            running = loop.StageLoop(self.child, self.spec, self.control, [0] * SLOT_SIZE)
            sys.setprofile(self.calls.watch)
            self.status = running.run()
        except BaseException as error:  # noqa: BLE001  (the test's own thread raises it)
            self.status = error
        finally:
            sys.setprofile(None)
            if running is not None:
                self._close(running)
            self.control.close()
            baton.leave(self.name)

    def _close(self, running: loop.StageLoop) -> None:
        for pipe in running._links.values():
            pipe.close_reader()
            pipe.close_writer()
        running._poller.close()


def run_in_turns(
    patch: pytest.MonkeyPatch,
    specs: Sequence[StageSpec],
    options: dict[str, Any],
    calls: dict[str, Calls],
) -> None:
    """Run a chain of stages, each linked with the next, until all have ended in order.

    Args:
        patch: replaces the loops' clock and poller.
        specs: the stages, producers first.
        options: those of every subscription.
        calls: gets what each stage calls, by its name; callbacks may look at it.
    """
    players = [_Player(spec) for spec in specs]
    clock = _Clock()
    baton = _Baton([player.name for player in players], clock)
    threads = {threading.Thread(target=each.live, args=(baton,)): each for each in players}

    def poller(busy: float) -> _Turns:
        player = threads[threading.current_thread()]
        return _Turns(player.name, baton, clock, player.calls)

    patch.setattr(loop, "time", clock)
    patch.setattr(loop, "busy_poller", poller)
    for ref, (above, below) in enumerate(pairwise(players), start=1):
        _link(ref, above, below, options)
    calls.update((player.name, player.calls) for player in players)
    for thread, player in threads.items():
        player.announce()
        thread.start()
    for thread in threads:
        thread.join(2 * WITHIN)
    for player in players:
        player.said = [wire.decode(frame) for frame in player.host.drain()]
        player.host.close()
    for player in players:
        assert player.status == 0, f"{player.name} ended with {player.status!r}: {player.said[-1:]}"


def _link(ref: int, above: _Player, below: _Player, options: dict[str, Any]) -> None:
    ends = make_link(wide=False)
    edge = f"{above.name} {below.name}"
    down = control.Link(ref, "producer", str(below.child), options, edge=edge)
    above.links.append((down, ends.producer))
    up = control.Link(ref, "consumer", str(above.child), options, edge=edge)
    below.links.append((up, ends.consumer))
    above.consumers.append(str(below.spec.id))
    below.producers.append(str(above.spec.id))
