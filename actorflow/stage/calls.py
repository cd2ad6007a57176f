"""Calls: who asked, how the answer leaves, and the questions that every stage answers itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from actorflow.protocol.codec import encode_value
from actorflow.protocol.failure import Failure
from actorflow.protocol.messages import Reply
from actorflow.protocol.wire import encode
from actorflow.stage.work import CONTROL_LINK, Port

if TYPE_CHECKING:
    from actorflow.stage.machine import StageMachine

__all__ = ["LATER", "Sender", "answer_system_call"]


class Sender:
    """Who made a call; `reply` answers before `handle_call` returns, or later.

    Once answered, what `handle_call` returns is not sent.

    Example:
        >>> from actorflow import LATER, Consumer
        >>> from actorflow.testing import StageHarness
        >>> class Waits(Consumer):
        ...     def handle_call(self, request, sender):
        ...         self.waiting = sender
        ...         return LATER
        ...     def handle_cast(self, message):
        ...         self.waiting.reply(message)
        >>> harness = StageHarness(Waits)
        >>> call = harness.send_call("anything new?")
        >>> harness.cast("yes")
        >>> harness.reply_to(call)
        'yes'
    """

    __slots__ = ("_port", "_ref", "answered")

    def __init__(self, ref: int, port: Port) -> None:
        self._ref = ref
        self._port = port
        self.answered = False

    def reply(self, value: Any, *, default: bool = False) -> None:
        """Answer the call now; a second answer is ignored.

        Args:
            value: the answer; it must be able to travel.
            default: it is what `handle_call` returned, and counts only when nothing was sent yet.

        Raises:
            TypeError: the value cannot be sent to another process.
        """
        if self.answered:
            return
        if default and value is LATER:
            return
        encoded = encode_value(value)
        self.answered = True
        self._port.send(CONTROL_LINK, encode(Reply(self._ref, "ok", encoded.codec, encoded.body)))

    def fail(self, error: BaseException) -> None:
        """Answer the call with an exception."""
        if not self.answered:
            self.answered = True
            body = encode_value(Failure.of(error).to_wire())
            reply = Reply(self._ref, "error", body.codec, body.body)
            self._port.send(CONTROL_LINK, encode(reply))


class _Later:
    """What a callback returns when what it was called for is done later.

    Example:
        >>> from actorflow import LATER, Consumer
        >>> from actorflow.testing import run
        >>> class Writes(Consumer):
        ...     finishes_later = True
        ...     def handle_events(self, events, subscription):
        ...         held = self.later()
        ...         held.finished()
        ...         return LATER
        >>> run(Writes, [1, 2])
        []
    """

    def __repr__(self) -> str:
        return "actorflow.LATER"

    def __reduce__(self) -> str:
        # A class that is defined in a program travels with what it refers to: there is one LATER.
        return "LATER"


LATER = _Later()
"""Return this from a callback to be done later: from `handle_call`, by ``sender.reply``; from
`handle_events`, by the handle that `Consumer.later` gives; from `on_stop`, by `Stage.stopped`."""


def answer_system_call(machine: StageMachine, question: Any, sender: Sender) -> None:
    """Answer a question of the runtime: ``"status"`` or ``"demand"``, for every kind of stage."""
    if question == "status":
        sender.reply(machine.status())
    elif question == "demand":
        sender.reply(machine.producing.mode if machine.producing is not None else "forward")
    else:
        sender.fail(ValueError(f"unknown question {question!r}; known are status and demand"))
