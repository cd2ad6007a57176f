"""What both forms of a batcher share: a core, and the children that do what it says."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from actorflow.dispatch.functions import function_of
from actorflow.errors import BatchError, OptionError
from actorflow.protocol.arguments import check_seconds
from actorflow.protocol.failure import Failure
from actorflow.records import dataclass
from actorflow.stage.base import Stage
from actorflow.stage.children import ChildEnd, ChildEnded, outcome_of
from actorflow.stages.batcher.closing import Mode
from actorflow.stages.batcher.commands import (
    Acquire,
    Answer,
    Interrupt,
    Leave,
    Process,
    Release,
)
from actorflow.stages.batcher.core import BatcherCore
from actorflow.stages.batcher.policies import limits_of, policy_of
from actorflow.stages.batcher.processors import (
    ACQUIRE,
    PROCESS,
    RELEASE,
    Plan,
    error_of,
    outputs_of,
    size_in_bytes,
)

__all__ = ["Batching", "Flush", "Settings", "Statistics"]


@dataclass(frozen=True, slots=True)
class Flush:
    """Start what is queued now as soon as capacity is free, whatever the policy. A cast.

    Args:
        key: of this key; None for all.

    Example:
        >>> from actorflow.stages.batcher import BatcherServer, Size
        >>> from actorflow.testing import StageHarness
        >>> harness = StageHarness(BatcherServer, {"processor": "operator:eq", "policy": Size()})
        >>> harness.cast(Flush("shop"))
        >>> harness.exiting is None
        True
    """

    key: Any = None


@dataclass(frozen=True, slots=True)
class Statistics:
    """Answer with `BatcherStatistics`."""


_TURN = "turn"
"""What a batcher tells itself."""


class Settings:
    """The arguments that both forms of a batcher take, checked.

    Args:
        arguments: by name.
        waits: whether items wait for room, or are rejected.
    """

    def __init__(self, arguments: Mapping[str, Any], *, waits: bool) -> None:
        self.limits = limits_of(arguments.get("limits"))
        self.policy = policy_of(arguments["policy"])
        fitting = self.policy.within(self.limits)
        self.clamped = fitting if fitting != self.policy else None
        processor = arguments.get("processor")
        self.plan = None if processor is None else Plan.of(processor, arguments.get("workers"))
        self.acquire_timeout = _timeout("acquire_timeout", arguments)
        self.process_timeout = _timeout("process_timeout", arguments)
        weigh = arguments.get("weigh")
        self.weigh = None
        if weigh is not None:
            self.weigh = function_of("weigh", weigh)
        elif self.limits.max_batch_bytes is not None:
            self.weigh = size_in_bytes
        self.waits = waits

    def core(self) -> BatcherCore:
        """A core with these settings."""
        return BatcherCore(
            self.policy,
            self.limits,
            acquires=self.plan is not None and self.plan.acquires,
            waits=self.waits,
            acquire_timeout=self.acquire_timeout,
            process_timeout=self.process_timeout,
        )


class Batching(Stage):
    """A stage around a `BatcherCore`: its clock, its timers, and the children that do the work."""

    _settings: Settings
    _started = False
    _ending = False

    def on_start(self) -> None:
        """Open the place where batches are processed."""
        running = self._running()
        settings = self._settings
        self._core = settings.core()
        self._now = running.now
        self._after = running.after
        self._lives = 0
        self._phases: dict[int, _Phase] = {}
        self._life_of: dict[int, int] = {}
        self._skipped: set[int] = set()
        """What was interrupted before its turn came."""
        self._armed: float | None = None
        self._turns: deque[Callable[[], None]] = deque()
        self._started = True
        plan = settings.plan
        if plan is not None:
            self._template = plan.template()
            if not plan.inline:
                kind = replace(self._template.child_kind, ahead=False, waiting=self._at_hand())
                self._runtime = running.children(kind, self._observe)
        if settings.clamped is not None:
            self.log.warning("the policy is clamped", policy=repr(settings.clamped))

    def handle_call(self, request: Any, sender: Any) -> Any:
        """Tell how much there is."""
        if isinstance(request, Statistics):
            return self._core.statistics
        return super().handle_call(request, sender)

    def handle_cast(self, message: Any) -> Any:
        """Start what waits."""
        if not isinstance(message, Flush):
            return super().handle_cast(message)
        self._core.flush(message.key, self._now())
        self._obey()
        return None

    def handle_info(self, message: Any) -> Any:
        """Do what was put off until everything that had arrived was taken."""
        if message != _TURN:
            return super().handle_info(message)
        self._take_turns()
        return None

    def _begin_end(self, mode: Mode) -> None:
        """The stage is stopping: no message comes any more, but time goes on."""
        self._ending = True
        self._after(0.0, self._take_turns)
        self._core.shut_down(mode, None, self._now())
        self._obey()

    def _at_hand(self) -> int:
        """How many phases of batches may wait in the pipe of a worker that is busy.

        None with several workers: a batch is not to be stuck behind a slow one because others, or
        acquisitions, are quick. Behind an only worker's it is in any case, and there it begins
        without two processes having to wake up for it. What a pipe holds cannot be taken back, so
        none where its time is limited.
        """
        settings = self._settings
        timed = settings.acquire_timeout is not None or settings.process_timeout is not None
        return 0 if timed or self._template.child_kind.workers > 1 else 1

    # --- what the core wants ----------------------------------------------------------------------

    def _obey(self) -> None:
        """Do what the core has decided, then see to its timers."""
        core = self._core
        while core.commands:
            commands, core.commands = core.commands, []
            # What starts goes first: a worker is not to be idle while answers are written.
            answers = [each for each in commands if isinstance(each, Answer)]
            for command in commands:
                if not isinstance(command, Answer):
                    self._do(command)
            for answer in answers:
                self._answer(answer)
            self._answered()
        due = core.next_due
        if due is not None and (self._armed is None or due < self._armed):
            self._armed = due
            self._after(max(0.0, due - self._now()), self._tick)

    def _do(self, command: Any) -> None:
        if isinstance(command, Process):
            self._process(command)
        elif isinstance(command, Acquire):
            self._acquire(command)
        elif isinstance(command, Release):
            self._release(command)
        elif isinstance(command, Interrupt):
            self._interrupt(command.batch)
        elif isinstance(command, Leave):
            self._leave(command)

    def _acquire(self, command: Acquire) -> None:
        plan = self._settings.plan
        if plan is not None and plan.acquires:
            self._begin(command.batch, ACQUIRE, command.key, [], None)
            return
        # The batch starts when what has come with this item is in it.
        number = command.batch
        self._soon(lambda: self._acquired(number))

    def _acquired(self, number: int) -> None:
        self._core.acquired(number, None, self._now())
        self._obey()

    def _process(self, command: Process) -> None:
        self._begin(command.batch, PROCESS, command.key, command.inputs, command.resources)

    def _release(self, command: Release) -> None:
        plan = self._settings.plan
        if plan is None or not plan.releases:
            self._core.released(command.batch, self._now())
            return
        extra = [command.resources, command.outcome]
        self._begin(command.batch, RELEASE, command.key, [], extra)

    def _interrupt(self, batch: int) -> None:
        life = self._life_of.get(batch)
        plan = self._settings.plan
        if life is None or plan is None:
            return
        if plan.inline:
            self._skipped.add(life)
        else:
            self._runtime.signal(life, "kill")

    def _answer(self, answer: Answer) -> None:
        """An item is answered."""
        raise NotImplementedError

    def _answered(self) -> None:
        """No more answers for now."""

    def _leave(self, leave: Leave) -> None:
        """Everything is answered and released."""
        raise NotImplementedError

    def _close_children(self) -> None:
        plan = self._settings.plan
        if plan is not None and not plan.inline:
            self._runtime.close()

    # --- children ---------------------------------------------------------------------------------

    def _begin(self, batch: int, phase: str, key: Any, inputs: list[Any], extra: Any) -> None:
        """Run one phase of a batch in a child of its own."""
        self._lives += 1
        life = self._lives
        self._phases[life] = _Phase(batch, phase, len(inputs))
        self._life_of[batch] = life
        arguments = (phase, key, inputs, extra)
        plan = self._settings.plan
        assert plan is not None
        if plan.inline:
            # In a turn of its own: the answers of the batch before it leave first.
            self._soon(lambda: self._run_inline(life, arguments))
            return
        try:
            self._runtime.start(life, self._template, arguments)
        except (OSError, TypeError) as error:
            # No process is to be had, or what it is given cannot travel to one.
            failed = ChildEnd(["error", str(error)], False, failure=Failure.of(error))
            self._soon(lambda: self._observe((ChildEnded(life, failed),)))

    def _run_inline(self, life: int, arguments: tuple[Any, ...]) -> None:
        template, end = self._template, ChildEnd("shutdown", False)
        if life not in self._skipped:
            end = outcome_of(template.function, (*template.arguments, *arguments))
        self._skipped.discard(life)
        self._observe((ChildEnded(life, end),))

    def _observe(self, endings: Sequence[ChildEnded]) -> None:
        for each in endings:
            phase = self._phases.pop(each.life, None)
            if phase is not None:
                self._life_of.pop(phase.batch, None)
                self._phase_ended(phase, each.end)
        self._obey()

    def _phase_ended(self, phase: _Phase, end: ChildEnd) -> None:
        core, now, number = self._core, self._now(), phase.batch
        error = error_of(phase.name, end)
        if phase.name == RELEASE:
            if error is not None:
                self.log.error("release_resources failed", reason=str(error))
            core.released(number, now)
        elif phase.name == ACQUIRE:
            if error is None:
                core.acquired(number, end.result.value, now)
            else:
                core.acquisition_failed(number, error, now)
        else:
            outputs = error if error is not None else outputs_of(phase.count, end.result)
            if isinstance(outputs, BatchError):
                core.finished(number, (), outputs, now)
            else:
                core.finished(number, outputs, None, now)

    def _soon(self, act: Callable[[], None]) -> None:
        """Do something behind the messages that have arrived by now."""
        self._turns.append(act)
        if self._ending:
            self._after(0.0, self._take_turns)
        else:
            # A message and no timer: timers go before messages, and would starve them.
            self.send_after(0.0, _TURN)

    def _take_turns(self) -> None:
        for _ in range(len(self._turns)):
            self._turns.popleft()()

    # --- time -------------------------------------------------------------------------------------

    def _tick(self) -> None:
        self._armed = None
        self._core.tick(self._now())
        self._obey()


class _Phase:
    """What a child is doing."""

    __slots__ = ("batch", "count", "name")

    def __init__(self, batch: int, name: str, count: int) -> None:
        self.batch = batch
        self.name = name
        self.count = count


def _timeout(option: str, arguments: Mapping[str, Any]) -> float | None:
    value = arguments.get(option)
    if value is None:
        return None
    if not check_seconds(option, value):
        raise OptionError(option, "a number of seconds above 0, or none", value)
    return float(value)
