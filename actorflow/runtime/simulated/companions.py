"""A simulated stage's companions: each piece of their work takes virtual time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import field
from typing import Any

from actorflow.protocol.codec import decode_value, encode_value
from actorflow.records import dataclass
from actorflow.stage.children import ChildEnd
from actorflow.stage.companions import Companion, CompanionObserver, CompanionRuntime

__all__ = ["SimulatedCompanions"]


@dataclass(slots=True, eq=False)
class _Life:
    number: int
    companion: Companion
    told: deque[Any] = field(default_factory=deque)
    said: deque[list[Any] | ChildEnd] = field(default_factory=deque)
    """What is on its way to the stage; its end comes last."""
    turning: bool = False
    arriving: bool = False
    dismissed: bool = False
    over: bool = False


class SimulatedCompanions(CompanionRuntime):
    """Companions whose messages take their time, and which are killed in the middle of their work.

    Args:
        after: has a callback called at a later virtual time.
        observer: is told of what they say, and of their ends.
        lasts: how long the next piece of work, or message, takes, in virtual seconds.
        dies: whether the next piece of work kills its companion.
    """

    def __init__(
        self,
        after: Callable[[float, Callable[[], None]], None],
        observer: CompanionObserver,
        lasts: Callable[[], float],
        dies: Callable[[], bool],
    ) -> None:
        self._after = after
        self._observer = observer
        self._lasts = lasts
        self._dies = dies
        self._lives: dict[int, _Life] = {}

    def start(self, life: int, companion: Companion) -> None:
        """As `CompanionRuntime.start`."""
        self._lives[life] = _Life(life, companion)

    def tell(self, lives: Sequence[int], message: Any) -> None:
        """As `CompanionRuntime.tell`."""
        body = encode_value(message)
        for number in lives:
            life = self._lives.get(number)
            if life is not None and not life.dismissed:
                life.told.append(decode_value(body.codec, body.body))
                self._stir(life)

    def let_go(self, life: int) -> None:
        """As `CompanionRuntime.let_go`."""
        found = self._lives.get(life)
        if found is not None:
            found.dismissed = True
            self._stir(found)

    def kill(self, life: int) -> None:
        """As `CompanionRuntime.kill`."""
        found = self._lives.get(life)
        if found is not None and not found.over:
            self._end(found, ChildEnd(["signal", 9], False))

    def pid(self, life: int) -> int:
        """As `CompanionRuntime.pid`: its own number, as there is no process."""
        return life if life in self._lives else 0

    def close(self) -> None:
        """As `CompanionRuntime.close`."""
        for life in list(self._lives):
            self.kill(life)

    def _stir(self, life: _Life) -> None:
        if not life.turning and not life.over:
            life.turning = True
            self._after(self._lasts(), lambda: self._turn(life))

    def _turn(self, life: _Life) -> None:
        life.turning = False
        if life.over:
            return
        companion = life.companion
        while life.told:
            companion.told(life.told.popleft())
        if life.dismissed:
            companion.let_go()
            self._end(life, ChildEnd("normal", True))
        elif companion.busy and self._dies():
            self._end(life, ChildEnd(["signal", 9], False))
        elif companion.busy:
            said = companion.work(0.0)
            if said:
                self._say(life, said)
            if companion.busy:
                self._stir(life)

    def _end(self, life: _Life, end: ChildEnd) -> None:
        life.over = True
        self._say(life, end)

    def _say(self, life: _Life, what: list[Any] | ChildEnd) -> None:
        if not isinstance(what, ChildEnd):
            body = encode_value(what)
            what = decode_value(body.codec, body.body)
        life.said.append(what)
        if not life.arriving:
            life.arriving = True
            self._after(self._lasts(), lambda: self._arrive(life))

    def _arrive(self, life: _Life) -> None:
        what = life.said.popleft()
        life.arriving = bool(life.said)
        if life.arriving:
            self._after(self._lasts(), lambda: self._arrive(life))
        if isinstance(what, ChildEnd):
            del self._lives[life.number]
            self._observer.ended(life.number, what)
        else:
            self._observer.said(life.number, what)
