"""The request and reply form of a batcher: a stage that answers calls, one for each item."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from actorflow.errors import BatchError, BatchFailed, OptionError
from actorflow.protocol.reasons import DONE
from actorflow.records import dataclass
from actorflow.stage.behaviour import Producer
from actorflow.stage.calls import LATER, Sender
from actorflow.stages.batcher.closing import ShutDown
from actorflow.stages.batcher.commands import Answer, Leave, ShutdownReport
from actorflow.stages.batcher.driver import Batching, Settings

__all__ = ["AddItem", "BatcherServer", "CancelItem", "Failed", "WaitForEnd"]


@dataclass(frozen=True, slots=True)
class AddItem:
    """Process this; the call is answered with its output.

    Args:
        ticket: the caller's name for it, unique.
        key: items of one key may share a batch.
        item: the processor's input.
    """

    ticket: Any
    key: Any
    item: Any


@dataclass(frozen=True, slots=True)
class Failed:
    """The answer of an item that has no output.

    A value and no failed call: whoever is rejected often is not to pay for a traceback each time.

    Args:
        error: why.
    """

    error: BatchError


@dataclass(frozen=True, slots=True)
class CancelItem:
    """Nobody waits for this item any more."""

    ticket: Any


@dataclass(frozen=True, slots=True)
class WaitForEnd:
    """Answer with the report of the shutdown, when it is over."""


class BatcherServer(Batching, Producer):
    """A batcher for callers outside the demand graph: each item is a call, answered by its output.

    `actorflow.Batcher` starts one and talks to it; in a topology it is a stage without
    subscriptions, and `Run.batcher` gives the handle. An item for which there is no room is
    rejected. When the run drains, what waits is processed; when it is stopped, it is cancelled.

    Args:
        processor: a `Processor`, its class, a function of key and inputs, or ``"module:name"``.
        policy: when a batch starts: `Immediate`, `Size`, `Duration`, `Balanced`, or its name, or a
            map of its name to its arguments.
        limits: a `Limits`, or a map of its fields.
        workers: where the processor runs: a number of worker processes from 1; ``"thread"``, in a
            thread for each batch; ``"task"``, in an event loop, for coroutine functions;
            ``"inline"``, on the batcher's own thread. The default is ``"thread"``, or ``"task"``.
        acquire_timeout: seconds that `acquire_resources` may take, above 0; None for no limit.
        process_timeout: seconds that `process` may take, above 0; None for no limit.
        weigh: a function of an item that returns its bytes, for `Limits.max_batch_bytes`; left out,
            the length of bytes or text, or of what travels.

    Raises:
        OptionError: an argument breaks its rule.

    Example:
        >>> from actorflow.testing import StageHarness
        >>> def double(key, inputs):
        ...     return [2 * each for each in inputs]
        >>> harness = StageHarness(
        ...     BatcherServer, {"processor": double, "policy": "immediate", "workers": "inline"}
        ... )
        >>> call = harness.send_call(AddItem(1, "key", 21))
        >>> harness.advance(0), harness.reply_to(call)
        (None, 42)

    Idea from: the Rust library batch-aint-one.
    """

    def __init__(
        self,
        *,
        processor: Any,
        policy: Any,
        limits: Any = None,
        workers: str | int | None = None,
        acquire_timeout: float | None = None,
        process_timeout: float | None = None,
        weigh: Any = None,
    ) -> None:
        self._settings = _settings(
            {
                "processor": processor,
                "policy": policy,
                "limits": limits,
                "workers": workers,
                "acquire_timeout": acquire_timeout,
                "process_timeout": process_timeout,
                "weigh": weigh,
            }
        )
        self._senders: dict[Any, Sender] = {}
        self._waiting: list[Sender] = []

    @classmethod
    def check_arguments(cls, arguments: Mapping[str, Any]) -> None:
        """Refuse what breaks a rule where the topology is declared."""
        super().check_arguments(arguments)
        if "policy" in arguments and "processor" in arguments:
            _settings(arguments)

    # --- callbacks --------------------------------------------------------------------------------

    def handle_demand(self, demand: int) -> None:
        """It has no events: answers are its output."""

    def handle_call(self, request: Any, sender: Sender) -> Any:
        """Take an item, or a request of the handle."""
        if isinstance(request, AddItem):
            self._add(request, sender)
            return LATER
        if isinstance(request, WaitForEnd):
            self._waiting.append(sender)
            return LATER
        if isinstance(request, ShutDown):
            self._waiting.append(sender)
            self._core.shut_down(request.mode, request.deadline, self._now())
            self._obey()
            return LATER
        return super().handle_call(request, sender)

    def handle_cast(self, message: Any) -> Any:
        """Give an item up, or what every batcher takes."""
        if isinstance(message, CancelItem):
            self._core.cancel(message.ticket, self._now())
            self._obey()
            return None
        return super().handle_cast(message)

    def on_stop(self, reason: Any) -> Any:
        """Answer every caller, then end."""
        if not self._started or self._core.left:
            return None
        # A drain ends a source with this reason: what was accepted is processed. A stop is quick.
        self._begin_end("flush" if reason == DONE else "abort")
        return LATER

    # --- within -----------------------------------------------------------------------------------

    def _add(self, request: AddItem, sender: Sender) -> None:
        ticket, key, item = request.ticket, request.key, request.item
        if ticket in self._senders:
            sender.fail(OptionError("ticket", "used by one item at a time", ticket))
            return
        weigh = self._settings.weigh
        try:
            weight = 0 if weigh is None else weigh(item)
            hash(key)
        except Exception as error:  # noqa: BLE001  (a caller's item must not end the batcher)
            _fail(sender, BatchFailed(f"the item cannot be taken: {error}", error))
            return
        self._senders[ticket] = sender
        try:
            self._core.add(ticket, key, item, weight, self._now())
        except BatchError as refused:
            del self._senders[ticket]
            _fail(sender, refused)
        self._obey()

    def _answer(self, answer: Answer) -> None:
        sender = self._senders.pop(answer.token)
        if answer.error is not None:
            _fail(sender, answer.error)
            return
        try:
            sender.reply(answer.value)
        except TypeError as error:
            _fail(sender, BatchFailed(f"the output cannot travel: {error}", error))

    def _leave(self, leave: Leave) -> None:
        self._close_children()
        report: ShutdownReport = leave.report
        for sender in self._waiting:
            sender.reply(report)
        self.set_result(report)
        if self._ending:
            # In a turn of its own: `on_stop` has not returned yet, it may be.
            self._after(0.0, self.stopped)
        else:
            self.stop("normal")


def _fail(sender: Sender, error: BatchError) -> None:
    try:
        sender.reply(Failed(error))
    except TypeError:
        # What it was caused by cannot travel; as a failure its text does.
        sender.fail(error)


def _settings(arguments: Mapping[str, Any]) -> Settings:
    if arguments.get("processor") is None:
        raise OptionError("processor", "what is done with a batch", None)
    return Settings(arguments, waits=False)
