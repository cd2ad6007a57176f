"""Where scans run: one or several of them, fed by the stage, beside it or inside of it.

Pure: it is told messages and is asked to work. What the stage tells:

| message | meaning |
|---|---|
| `["add", scan, pickled]` | begin to run a scan |
| `["feed", items]` | inputs for every scan that is here and has not been told its end |
| `["give", scan, items]` | inputs for one |
| `["end", scan]` | no more inputs for it: it ends behind those that it has |
| `["drop", scan]` | it ends now, and leaves its inputs |

What it answers: `["did", scan, consumed, values]`, and last `["over", scan, how, failure]`, where
how is ``done``, ``ended``, ``dropped`` or ``failed``; and `["unclean", scan, error]` when `final`
raises in a scan that is ending anyway. An input counts as consumed when its step has returned or
raised.
"""

from __future__ import annotations

import pickle
import time
from collections import deque
from collections.abc import Callable
from dataclasses import field
from typing import Any

from actorflow.errors import BadReturn
from actorflow.protocol.failure import Failure
from actorflow.records import dataclass
from actorflow.stage.companions import Companion
from actorflow.stages.scans.scan import Done, Partial, Scan

__all__ = ["ScanHost"]


@dataclass(slots=True, eq=False)
class _Running:
    number: int
    pickled: bytes
    queue: deque[Any] = field(default_factory=deque)
    scan: Scan[Any, Any] | None = None
    """None until it has begun."""
    state: Any = None
    ending: bool = False
    """Whether no more input comes."""
    dropped: bool = False

    @property
    def busy(self) -> bool:
        return self.scan is None or bool(self.queue) or self.ending or self.dropped


class ScanHost(Companion):
    """Runs scans, each in its turn, a step at a time.

    Args:
        clock: seconds; when to look up is measured on it.

    Example:
        >>> from actorflow.stages.scans.scan import length, pickled_scan
        >>> host = ScanHost()
        >>> host.told(["add", 1, pickled_scan(length())])
        >>> host.told(["feed", ["a", "b"]])
        >>> host.told(["end", 1])
        >>> host.work(float("inf"))
        [['did', 1, 2, [0, 1, 2]], ['over', 1, 'ended', None]]
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._scans: dict[int, _Running] = {}
        self._turns: deque[_Running] = deque()
        """Those that have something to do, the next one first."""
        self._said: list[Any] = []
        self._in_hand = 0
        """How many inputs were taken and not reported, 0 or 1."""

    # --- what the stage tells ---------------------------------------------------------------------

    def told(self, message: Any) -> None:
        """As `Companion.told`."""
        kind, *rest = message
        if kind == "feed":
            for running in self._scans.values():
                self._feed(running, rest[0])
        elif kind == "add":
            running = self._scans[rest[0]] = _Running(rest[0], rest[1])
            self._turns.append(running)
        else:
            found = self._scans.get(rest[0])
            if found is not None:  # or it is over, and the stage does not know yet
                self._about(found, kind, rest[1:])

    def _about(self, running: _Running, kind: str, rest: list[Any]) -> None:
        if kind == "give":
            self._feed(running, rest[0])
            return
        was_busy = running.busy
        if kind == "end":
            running.ending = True
        else:
            running.dropped = True
            running.queue.clear()
        if not was_busy:
            self._turns.append(running)

    def _feed(self, running: _Running, items: list[Any]) -> None:
        if running.ending or running.dropped:
            return
        if not running.busy:
            self._turns.append(running)
        running.queue.extend(items)

    # --- work -------------------------------------------------------------------------------------

    @property
    def busy(self) -> bool:
        """As `Companion.busy`."""
        return bool(self._turns)

    def work(self, until: float) -> list[Any]:
        """As `Companion.work`; a piece of it is one step of one scan."""
        turns, clock = self._turns, self._clock
        while turns:
            running = turns.popleft()
            self._turn(running)
            if running.number in self._scans and running.busy:
                turns.append(running)
            if clock() >= until:
                break
        said, self._said = self._said, []
        return said

    def cannot_say(self, message: Any, error: TypeError) -> list[Any]:
        """A value that cannot be sent is its scan's failure."""
        kind, number, consumed, _ = message
        if kind != "did":
            raise error
        running = self._scans.pop(number, None)
        if running is not None:
            self._finalise(running)
        return [
            ["did", number, consumed, []],
            ["over", number, "failed", Failure.of(error).to_wire()],
        ]

    def let_go(self) -> None:
        """As `Companion.let_go`: whatever still runs lets go of what it holds."""
        for running in list(self._scans.values()):
            self._finalise(running)
        self._scans.clear()
        self._turns.clear()

    def _turn(self, running: _Running) -> None:
        try:
            if running.dropped:
                self._over(running, "dropped")
            elif running.scan is None:
                scan = pickle.loads(running.pickled)
                answer = scan.initial()
                running.scan = scan
                self._answered(running, answer)
            elif running.queue:
                item = running.queue.popleft()
                self._in_hand = 1
                self._answered(running, running.scan.step(running.state, item))
            else:
                self._over(running, "ended")
        except Exception as error:  # noqa: BLE001  (whatever a scan raises is how it ended)
            self._did(running, [])
            self._fail(running, error)

    def _answered(self, running: _Running, answer: Any) -> None:
        scan = running.scan
        assert scan is not None
        if isinstance(answer, Partial):
            running.state = answer.state
            self._did(running, [scan.extract(answer.state)])
        elif isinstance(answer, Done):
            running.state = answer.state_after(running.state)
            self._did(running, [answer.value])
            self._over(running, "done")
        else:
            callback = "step" if self._in_hand else "initial"
            raise BadReturn(callback, "Partial or Done", answer)

    def _did(self, running: _Running, values: list[Any]) -> None:
        """Report a step, together with those of the same scan just before it."""
        consumed, self._in_hand = self._in_hand, 0
        last = self._said[-1] if self._said else None
        if last is not None and last[0] == "did" and last[1] == running.number:
            last[2] += consumed
            last[3] += values
        elif consumed or values:
            self._said.append(["did", running.number, consumed, values])

    def _over(self, running: _Running, how: str) -> None:
        del self._scans[running.number]
        if running.scan is not None:
            running.scan.final(running.state)
        self._said.append(["over", running.number, how, None])

    def _fail(self, running: _Running, error: Exception) -> None:
        failure = Failure.of(error).to_wire()
        if self._scans.pop(running.number, None) is not None:
            self._finalise(running)
        self._said.append(["over", running.number, "failed", failure])

    def _finalise(self, running: _Running) -> None:
        if running.scan is None:
            return
        try:
            running.scan.final(running.state)
        except Exception as error:  # noqa: BLE001  (it is ending, and its own error may be why)
            self._said.append(["unclean", running.number, Failure.of(error).summary])
