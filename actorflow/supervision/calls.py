"""Calls to stages that wait for their replies."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any

from actorflow.errors import CallError, ProtocolError, StageDown, Undecodable
from actorflow.protocol.codec import decode_value, encode_value
from actorflow.protocol.failure import Failure
from actorflow.protocol.identity import Incarnation
from actorflow.protocol.messages import Call, Reply
from actorflow.records import dataclass

__all__ = ["PendingCalls"]


@dataclass(frozen=True, slots=True)
class _Pending:
    child: Incarnation
    future: Future[Any]


class PendingCalls:
    """Matches replies to calls; a call to a stage that ends fails at once."""

    def __init__(self) -> None:
        self._pending: dict[int, _Pending] = {}
        self._last = 0

    def begin(self, child: Incarnation, scope: str, request: Any, future: Future[Any]) -> Call:
        """The message that makes this call.

        Raises:
            TypeError: the request cannot be sent to another process.
        """
        encoded = encode_value(request)
        self._last += 1
        self._pending[self._last] = _Pending(child, future)
        return Call(self._last, scope, encoded.codec, encoded.body)

    def reply(self, child: Incarnation, message: Reply) -> None:
        """Resolve a call; a reply that nobody waits for any more is dropped.

        Raises:
            ProtocolError: ``bad_ref``: it is another stage that was called.
        """
        pending = self._pending.get(message.ref)
        if pending is None:
            return
        if pending.child != child:
            detail = f"call {message.ref} was made to {pending.child}, not to {child}"
            raise ProtocolError("bad_ref", detail, message.ref)
        del self._pending[message.ref]
        if not pending.future.set_running_or_notify_cancel():
            return
        try:
            value = decode_value(message.codec, message.body)
        except Undecodable as broken:
            pending.future.set_exception(broken)
            return
        if message.outcome == "ok":
            pending.future.set_result(value)
            return
        failure = Failure.from_wire(value)
        error = CallError(f"{pending.child.stage} raised in the call: {failure.summary}")
        error.__cause__ = failure.exception()
        pending.future.set_exception(error)

    def down(self, child: Incarnation, reason: Any) -> None:
        """A stage ended: its callers need not wait."""
        for ref in [ref for ref, each in self._pending.items() if each.child == child]:
            future = self._pending.pop(ref).future
            if future.set_running_or_notify_cancel():
                future.set_exception(StageDown(f"{child.stage} ended before it replied: {reason}"))

    def reject_all(self, error: BaseException) -> None:
        """No reply will come any more."""
        pending, self._pending = self._pending, {}
        for each in pending.values():
            if each.future.set_running_or_notify_cancel():
                each.future.set_exception(error)
