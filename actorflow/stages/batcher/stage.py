"""The stage form of a batcher: events in, batches or what they become out. It rejects nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from actorflow.dispatch.functions import function_of
from actorflow.errors import BatchError, OptionError
from actorflow.protocol.pace import MAX_AUTO
from actorflow.protocol.reasons import DONE
from actorflow.records import dataclass
from actorflow.stage.behaviour import ProducerConsumer, Subscription
from actorflow.stage.calls import LATER
from actorflow.stage.held import HeldBatch
from actorflow.stages.batcher.commands import Answer, Leave, Process
from actorflow.stages.batcher.driver import Batching, Settings
from actorflow.stages.batcher.policies import Duration, Size

__all__ = ["BatcherStage", "ItemFailed", "KeyedBatch"]

ON_ERROR = ("fail", "emit", "skip")


@dataclass(frozen=True, slots=True)
class KeyedBatch:
    """The event that a `BatcherStage` without a processor emits.

    Args:
        key: the key of its items.
        items: the events, at least one, in the order in which they came.
        trigger: why it is a batch now: ``"size"``, ``"timeout"`` or ``"flush"``.

    Example:
        >>> from actorflow.stages.batcher import BatcherStage, Size
        >>> from actorflow.testing import run
        >>> arguments = {"policy": Size(), "limits": {"max_batch_size": 2}}
        >>> [(batch.items, batch.trigger) for batch in run(BatcherStage, [1, 2, 3], args=arguments)]
        [([1, 2], 'size'), ([3], 'flush')]
    """

    key: Any
    items: list[Any]
    trigger: str


@dataclass(frozen=True, slots=True)
class ItemFailed:
    """The event that a `BatcherStage` with ``on_error: emit`` emits in the place of a result.

    Args:
        key: the item's key.
        item: the event that failed.
        error: why.

    Example:
        >>> from actorflow import BatchTimeout
        >>> failed = ItemFailed("shop", {"order": 7}, BatchTimeout("process", 1.5))
        >>> failed.item["order"], type(failed.error).__name__
        (7, 'BatchTimeout')
    """

    key: Any
    item: Any
    error: BatchError


@dataclass(slots=True, eq=False)
class _Taken:
    """An event that is not finished."""

    event: Any
    key: Any
    held: HeldBatch


class BatcherStage(Batching, ProducerConsumer):
    """Puts events into batches by key, and processes them if it is told how.

    Nothing is rejected: an event that finds no room waits, and its demand returns to its producer
    only when it is finished. So a full batcher is one that asks for nothing. When its producers
    have sent all that they will, the last batches start, whatever the policy.

    Without a processor it emits a `KeyedBatch` for each batch, as Broadway's batcher does: have its
    consumers take one at a time (``max_demand: 1``). With one it emits the outputs, each as an
    event of its own, in the order of the batch; an output that is None is not emitted.

    Args:
        key: a function of an event that returns its key, something hashable; left out, all events
            have the same key.
        policy: when a batch starts; by default `Size` with a linger of one second. Without a
            processor it must be a `Size` or a `Duration`. `Size` without a linger waits until a
            batch is full, or until no more can come.
        limits: a `Limits`, or a map of its fields. Without a processor a batch is over when it is
            emitted, so that concurrency does not matter.
        processor: a `Processor`, its class, a function of key and inputs, or ``"module:name"``.
        workers: where the processor runs, as in `BatcherServer`.
        on_error: what becomes of an event that has an error and no output: ``"fail"`` ends the
            stage with it, and the event is delivered again; ``"emit"`` emits an `ItemFailed`;
            ``"skip"`` logs it.
        acquire_timeout: seconds that `acquire_resources` may take, above 0; None for no limit.
        process_timeout: seconds that `process` may take, above 0; None for no limit.
        weigh: a function of an event that returns its bytes, for `Limits.max_batch_bytes`.

    Each function may be given as ``"module:name"``, as a topology in YAML has to.

    Raises:
        OptionError: an argument breaks its rule.

    Example:
        >>> from actorflow.testing import run
        >>> def parity(number):
        ...     return number % 2
        >>> batches = run(BatcherStage, range(5), args={"key": parity, "limits": {
        ...     "max_batch_size": 2}}, max_demand=10)
        >>> [(batch.key, batch.items, batch.trigger) for batch in batches]
        [(0, [0, 2], 'size'), (1, [1, 3], 'size'), (0, [4], 'flush')]

    Idea from: Broadway's batchers and the Rust library batch-aint-one.
    """

    finishes_later = True

    def __init__(
        self,
        *,
        key: Any = None,
        policy: Any = Size(linger=1.0),  # noqa: B008  (it is frozen)
        limits: Any = None,
        processor: Any = None,
        workers: str | int | None = None,
        on_error: Literal["fail", "emit", "skip"] = "fail",
        acquire_timeout: float | None = None,
        process_timeout: float | None = None,
        weigh: Any = None,
    ) -> None:
        self._settings = _settings(
            {
                "policy": policy,
                "limits": limits,
                "processor": processor,
                "workers": workers,
                "on_error": on_error,
                "acquire_timeout": acquire_timeout,
                "process_timeout": process_timeout,
                "weigh": weigh,
            }
        )
        self._key = _one_key if key is None else function_of("key", key)
        self._on_error = on_error
        most = self._settings.limits
        under_way = most.max_key_concurrency if processor is not None else 1
        self.at_once = min(MAX_AUTO, most.max_batch_size * (under_way + 1))
        self._taken: dict[int, _Taken] = {}
        self._tokens = 0
        self._outputs: list[Any] = []
        self._finished: dict[HeldBatch, int] = {}
        self._failed: BatchError | None = None
        self._at_last = False
        """Whether nothing more comes, as far as is known."""

    @classmethod
    def check_arguments(cls, arguments: Mapping[str, Any]) -> None:
        """Refuse what breaks a rule where the topology is declared."""
        super().check_arguments(arguments)
        _settings({"policy": Size(linger=1.0), **arguments})
        if arguments.get("key") is not None:
            function_of("key", arguments["key"])

    # --- callbacks --------------------------------------------------------------------------------

    def handle_subscribe(
        self, side: str, options: Mapping[str, Any], subscription: Subscription
    ) -> None:
        """Say so when no batch can ever be full."""
        window, size = options.get("max_demand"), self._settings.limits.max_batch_size
        if side == "producer" and isinstance(window, int) and window < size:
            self.log.warning(
                "max_demand is less than a batch: none will be full",
                producer=subscription.stage,
                max_demand=window,
                max_batch_size=size,
            )

    def handle_events(self, events: list[Any], subscription: Subscription) -> Any:
        """Take events; they are finished when their batches are."""
        held = self.later()
        core, now, weigh = self._core, self._now(), self._settings.weigh
        self._at_last = False
        for event in events:
            key = self._key(event)
            self._tokens += 1
            self._taken[self._tokens] = _Taken(event, key, held)
            core.add(self._tokens, key, event, 0 if weigh is None else weigh(event), now)
        self._obey()
        return LATER

    def on_flush(self) -> None:
        """Start what waits: nothing more comes."""
        self._at_last = True
        self._obey()

    def on_stop(self, reason: Any) -> Any:
        """Interrupt what runs, then end; what is not finished is delivered to somebody else."""
        if not self._started or self._core.left:
            return None
        self._begin_end("flush" if reason == DONE else "abort")
        return LATER

    # --- within -----------------------------------------------------------------------------------

    def _obey(self) -> None:
        """Do what the core has decided, and have it wait for no items that cannot come."""
        super()._obey()
        core = self._core
        while self._waits_in_vain() and core.holds:
            core.flush(None, self._now())
            super()._obey()

    def _waits_in_vain(self) -> bool:
        """Whether what would fill a batch comes only when a batch is finished, or never."""
        if self._at_last:
            return True
        core = self._core
        return core.waits_for_items and core.idle and not self._running().coming()

    def _process(self, command: Process) -> None:
        if self._settings.plan is not None:
            super()._process(command)
            return
        batch = KeyedBatch(command.key, command.inputs, command.trigger.value)
        self._outputs.append(batch)
        outputs = [None] * len(command.inputs)
        self._core.finished(command.batch, outputs, None, self._now())

    def _answer(self, answer: Answer) -> None:
        taken = self._taken.pop(answer.token)
        if answer.error is not None and not self._settle_error(taken, answer.error):
            return
        if answer.value is not None:
            self._outputs.append(answer.value)
        self._finished[taken.held] = self._finished.get(taken.held, 0) + 1

    def _settle_error(self, taken: _Taken, error: BatchError) -> bool:
        """Deal with an error; returns whether the event is finished by that."""
        if self._ending:
            return False
        if self._on_error == "fail":
            self._failed = error
            return False
        if self._on_error == "emit":
            self._outputs.append(ItemFailed(taken.key, taken.event, error))
        else:
            self.log.warning("an event is skipped", key=repr(taken.key), reason=str(error))
        return True

    def _answered(self) -> None:
        """Emit, then return credit: an acknowledgement must not overtake an output."""
        outputs, self._outputs = self._outputs, []
        if outputs:
            self.emit(outputs)
        finished, self._finished = self._finished, {}
        for held, count in finished.items():
            held.finished(count)
        if self._failed is not None:
            raise self._failed

    def _leave(self, leave: Leave) -> None:
        self._close_children()
        # In a turn of its own: `on_stop` has not returned yet, it may be.
        self._after(0.0, self.stopped)


def _settings(arguments: Mapping[str, Any]) -> Settings:
    settings = Settings(arguments, waits=True)
    on_error = arguments.get("on_error", "fail")
    if on_error not in ON_ERROR:
        raise OptionError("on_error", "one of " + ", ".join(ON_ERROR), on_error)
    policy = settings.policy
    if settings.plan is None and not isinstance(policy, Size | Duration):
        hint = "the others are about when a processor is free"
        raise OptionError("policy", "a Size or a Duration without a processor", policy, hint)
    return settings


def _one_key(event: Any) -> None:
    return None
