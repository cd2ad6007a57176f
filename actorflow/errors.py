"""Every exception that actorflow raises, one tree.

::

    ActorflowError
    ├── OptionError (also ValueError)        an argument or option breaks a rule
    ├── TopologyError                        a topology has mistakes, all of them listed
    ├── ProtocolError                        a peer sent what the protocol forbids
    │   ├── FrameTooLarge
    │   └── Undecodable
    ├── EventNotEncodable                    an emitted event cannot leave its process
    ├── Refused                              the other side said no, with a reason
    │   └── AlreadyStarted                   a child has that name; carries its row
    │   └── CannotServe                      a dispatcher ends one subscription
    ├── DispatcherError                      somebody's own dispatcher broke a rule
    ├── PartitionError                       a partition function failed for an event
    ├── PartitionLost                        a join waits for a partition that is gone
    ├── SkewExceeded                         a join's inputs are too far apart
    ├── ItemFailed                           an asynchronous stage's call failed for an item
    ├── ScanError                            a scan did not come to a good end
    │   ├── ScanFailed                       it raised; carries which input, and the cause
    │   ├── ScanCrashed                      its process died; carries the exit status
    │   └── ScanNotPicklable                 it cannot travel to where it would run
    ├── BadReturn                            a callback returned what it may not return
    ├── Ignore                               raised by an event's child: nothing is to be done
    ├── NotInStage                           a stage's verb was used outside a running stage
    ├── CallError
    │   ├── CallTimeout (also TimeoutError)  no reply within the deadline
    │   ├── NoSuchStage                      no stage or child of that name
    │   ├── NoSuchChild                      a ConsumerSupervisor has no such child
    │   └── StageDown                        the called stage ended before it replied
    ├── RunError                             a run did not end well
    │   ├── StageFailed                      a stage raised; carries the remote traceback
    │   ├── StageKilled                      a stage's process died of a signal or exit status
    │   ├── StartFailed                      a stage did not come up
    │   └── IntensityExceeded                too many restarts; carries the root cause
    ├── BatchError                           an item given to a batcher has no result
    │   ├── BatcherClosed (also Closed)      the batcher takes no more items
    │   ├── BatcherGone (also Broken)        the batcher ended before it answered
    │   ├── BatchRejected (also Refused)     there is no room for the item now
    │   ├── BatchFailed                      the processor raised
    │   ├── ResourceAcquisitionFailed        the processor could not acquire its resources
    │   ├── ProcessorInvariantViolation      the processor returned too few results, or too many
    │   ├── ProcessorPanic                   the processor raised no Exception: SystemExit
    │   ├── ProcessorCrashed                 the processor's process died
    │   ├── BatchCancelled                   the item was given up before its batch was done
    │   └── BatchTimeout (also TimeoutError) a phase of the batch took too long
    ├── CheckpointError                      a checkpoint file cannot be used
    ├── AdmissionFull                        a task pool has no room for a task now
    ├── QueryFailed                          a query of a task pool failed; others go on
    │   └── QueryShed                        it held the most when memory ran out
    ├── DeadLetterError                      a file of dead letters cannot be used
    ├── Closed                               the thing was closed by this side
    │   └── PoolClosed                       a task pool's query takes no more tasks
    ├── Broken                               the other side or the machinery died
    └── PlatformUnsupported                  this operating system cannot run actorflow

Catch `ActorflowError` for everything. Errors carry attributes, not only text.
"""

from __future__ import annotations

from typing import Any

from actorflow.records import dataclass

__all__ = [
    "ActorflowError",
    "AdmissionFull",
    "AlreadyStarted",
    "BadReturn",
    "BatchCancelled",
    "BatchError",
    "BatchFailed",
    "BatchRejected",
    "BatchTimeout",
    "BatcherClosed",
    "BatcherGone",
    "Broken",
    "CallError",
    "CallTimeout",
    "CannotServe",
    "CheckpointError",
    "Closed",
    "DeadLetterError",
    "DispatcherError",
    "EventNotEncodable",
    "FrameTooLarge",
    "Ignore",
    "IntensityExceeded",
    "ItemFailed",
    "NoSuchChild",
    "NoSuchStage",
    "NotInStage",
    "OptionError",
    "PartitionError",
    "PartitionLost",
    "PlatformUnsupported",
    "PoolClosed",
    "Problem",
    "ProcessorCrashed",
    "ProcessorInvariantViolation",
    "ProcessorPanic",
    "ProtocolError",
    "QueryFailed",
    "QueryShed",
    "Refused",
    "ResourceAcquisitionFailed",
    "RunError",
    "ScanCrashed",
    "ScanError",
    "ScanFailed",
    "ScanNotPicklable",
    "SkewExceeded",
    "StageDown",
    "StageFailed",
    "StageKilled",
    "StartFailed",
    "TopologyError",
    "Undecodable",
]


class ActorflowError(Exception):
    """The root of everything that actorflow raises on purpose."""


class OptionError(ActorflowError, ValueError):
    """An option or argument breaks a rule.

    Args:
        option: the option's name as the user wrote it, e.g. ``"max_demand"``.
        rule: what is accepted, e.g. ``"an integer of at least 1"``.
        value: the value that was given.
        hint: what to do about it, one sentence, or nothing.

    Example:
        >>> str(OptionError("max_demand", "an integer of at least 1", 0))
        'max_demand must be an integer of at least 1, got 0'
    """

    def __init__(self, option: str, rule: str, value: object, hint: str = "") -> None:
        message = f"{option} must be {rule}, got {value!r}"
        super().__init__(f"{message}; {hint}" if hint else message)
        self.option = option
        self.rule = rule
        self.value = value
        self.hint = hint

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.option, self.rule, self.value, self.hint)


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake in a topology: where it is, what is wrong, and what would be right.

    Args:
        message: what is wrong, with the value given and what is accepted.
        path: the key's path, e.g. ``"stages.count.replicas"``.
        file: the file's name as the user gave it, or nothing for a topology built in Python.
        line: 1-based line, 0 when unknown.
        column: 1-based column, 0 when unknown.
        excerpt: the source line, for a caret below it.
    """

    message: str
    path: str = ""
    file: str = ""
    line: int = 0
    column: int = 0
    excerpt: str = ""

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}:{self.column}: " if self.line else ""
        where = where or (f"{self.file}: " if self.file else "")
        path = f"{self.path}: " if self.path else ""
        text = f"{where}{path}{self.message}"
        if self.excerpt:
            # A long line is cut around the mistake; tabs before the caret keep it in place.
            start = max(0, self.column - 60) if len(self.excerpt) > 100 else 0
            shown = self.excerpt[start : start + 100]
            before = shown[: max(0, self.column - 1 - start)]
            indent = "".join("\t" if character == "\t" else " " for character in before)
            text += f"\n    {shown}\n    {indent}^"
        return text


class TopologyError(ActorflowError):
    """A topology has mistakes; `problems` lists all of them, in file order.

    Example:
        >>> error = TopologyError([Problem("unknown stage 'fles'", "stages.count.subscribe_to")])
        >>> len(error.problems)
        1
    """

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.problems,)


class ProtocolError(ActorflowError):
    """A peer sent what the protocol forbids.

    Args:
        reason: the wire reason that names the fault, e.g. ``"bad_demand"``.
        detail: a sentence for a person.
        ref: the subscription it concerns, when the message named one.
    """

    def __init__(self, reason: str, detail: str, ref: int | None = None) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail
        self.ref = ref

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.reason, self.detail, self.ref)


class FrameTooLarge(ProtocolError):
    """A frame announces more bytes than the limit; the link cannot be trusted any more."""


class Undecodable(ProtocolError):
    """A body of events, or a frame, cannot be decoded."""


class EventNotEncodable(ActorflowError):
    """An emitted event cannot be turned into bytes, so it cannot leave its stage.

    Args:
        stage: the emitting stage.
        event_type: the event's type, qualified.
        cause: why, in the words of the codec.
    """

    def __init__(self, stage: str, event_type: str, cause: str) -> None:
        super().__init__(
            f"stage {stage!r} emitted an event of type {event_type} that cannot be sent to another"
            f" process ({cause}); emit plain data or an object that pickle accepts, and open files,"
            " locks and connections in the stage that uses them"
        )
        self.stage = stage
        self.event_type = event_type
        self.cause = cause

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.stage, self.event_type, self.cause)


class Refused(ActorflowError):
    """The other side refused, for example a subscription; `reason` says why."""

    def __init__(self, reason: object, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else str(reason))
        self.reason = reason
        self.detail = detail

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.reason, self.detail)


class CannotServe(Refused):
    """A dispatcher cannot serve one subscription any more: that one ends, nobody else notices.

    Args:
        ref: the subscription.
        reason: what its consumer is told, e.g. ``"bad_selector"``.
        detail: a sentence for a person.
    """

    def __init__(self, ref: int, reason: object, detail: str = "") -> None:
        super().__init__(reason, detail)
        self.ref = ref

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.ref, self.reason, self.detail)


class DispatcherError(ActorflowError):
    """A dispatcher that is not one of actorflow's own broke a rule; its producer ends.

    What it raised, if that is what it did, is this error's ``__cause__``.

    Args:
        dispatcher: its class, ``"fair:Fair"``.
        rule: what a dispatcher must do.
        broken: what this one did.
    """

    def __init__(self, dispatcher: str, rule: str, broken: str) -> None:
        super().__init__(f"the dispatcher {dispatcher} broke a rule: {rule}; {broken}")
        self.dispatcher = dispatcher
        self.rule = rule
        self.broken = broken

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.dispatcher, self.rule, self.broken)


class PartitionError(ActorflowError):
    """A partition function raised, or named no partition; its producer ends.

    What it raised is this error's ``__cause__``.

    Args:
        problem: what the function did: ``"returned 7"``.
        event: the event, as text.
        partitions: the known partitions, as text.
    """

    def __init__(self, problem: str, event: str, partitions: str) -> None:
        super().__init__(
            f"for the event {event} the partition function {problem}; it must return one of"
            f" {partitions}, or None to drop the event"
        )
        self.problem = problem
        self.event = event
        self.partitions = partitions

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.problem, self.event, self.partitions)


class PartitionLost(ActorflowError):
    """A partition is gone that others wait for, so that a result will not be complete.

    Args:
        partition: the stage, ``"count/1"``.
        reason: why it ended.
        windows: the windows that lack its report.
    """

    def __init__(self, partition: str, reason: object, windows: list[Any]) -> None:
        which = (
            f"window {windows[0]!r} lacks" if len(windows) == 1 else f"{len(windows)} windows lack"
        )
        super().__init__(f"partition {partition} is gone ({reason}); {which} its report")
        self.partition = partition
        self.reason = reason
        self.windows = windows

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.partition, self.reason, self.windows)


class SkewExceeded(ActorflowError):
    """The inputs of a join are so far apart that waiting for the slowest takes too much memory.

    Args:
        limit: how much may wait.
        what: of what.
        laggard: the stage that is waited for.
    """

    def __init__(self, limit: int, what: str, laggard: str) -> None:
        super().__init__(f"more than {limit} {what}: {laggard} is too far behind the others")
        self.limit = limit
        self.what = what
        self.laggard = laggard

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.limit, self.what, self.laggard)


class ScanError(ActorflowError):
    """A scan of `actorflow.stages.scans` did not come to a good end."""


class ScanFailed(ScanError):
    """A scan raised.

    Args:
        scan: its name.
        item: which of its inputs it had in hand, counted from 1; 0 when it had none.
        summary: the exception's type and text.
        cause: the exception that it raised, its own traceback behind it; None when no scan raised.
    """

    def __init__(
        self, scan: str, item: int, summary: str, cause: BaseException | None = None
    ) -> None:
        where = f"at its input {item}" if item else "before its first input"
        super().__init__(f"scan {scan} failed {where}: {summary}")
        self.scan = scan
        self.item = item
        self.summary = summary
        self.cause = cause
        self.__cause__ = cause

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.scan, self.item, self.summary, self.cause)


class ScanCrashed(ScanError):
    """The process of a scan died.

    Args:
        scan: the scan's name.
        exitcode: as `subprocess` counts: the exit status, or minus the number of the signal; None
            when there was no process to be had.
        detail: what else is known.
    """

    def __init__(self, scan: str, exitcode: int | None, detail: str = "") -> None:
        how = "could not be started" if exitcode is None else f"died with exit status {exitcode}"
        said = f"the process of scan {scan} {how}"
        super().__init__(f"{said}: {detail}" if detail else said)
        self.scan = scan
        self.exitcode = exitcode
        self.detail = detail

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.scan, self.exitcode, self.detail)


class ScanNotPicklable(ScanError, TypeError):
    """A scan cannot travel to where it would run; raised where it is given.

    Args:
        scan: the name of its class.
        detail: what cannot be pickled.
    """

    def __init__(self, scan: str, detail: str) -> None:
        super().__init__(
            f"a scan of class {scan} cannot be pickled: {detail}; open what it needs in initial()"
        )
        self.scan = scan
        self.detail = detail

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.scan, self.detail)


class AlreadyStarted(Refused):
    """A child of that name exists; `holder` is its row, as `which_children` has it."""

    def __init__(self, detail: str, holder: Any = None) -> None:
        super().__init__("already_started", detail)
        self.holder = holder

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.detail, self.holder)


class ItemFailed(ActorflowError):
    """An asynchronous stage's call failed for an item, and was not to be tried again.

    It ends the stage, or is an event in the item's place, as the stage's `on_error` says.

    Args:
        number: which item of this life of the stage it was, from 1.
        item: the item.
        summary: what the last try ended with, ``"ValueError: no"``.
        tries: how often it was tried, from 1.

    The exception itself, where there was one, is this error's ``__cause__``.

    Example:
        >>> str(ItemFailed(7, "a.png", "ValueError: no", 2))
        "item 7, 'a.png', failed with ValueError: no, tried 2 times"
    """

    def __init__(self, number: int, item: object, summary: str, tries: int) -> None:
        times = "" if tries == 1 else f", tried {tries} times"
        super().__init__(f"item {number}, {item!r:.100}, failed with {summary}{times}")
        self.number = number
        self.item = item
        self.summary = summary
        self.tries = tries

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.number, self.item, self.summary, self.tries)


class BadReturn(ActorflowError):
    """A callback returned something it may not return."""

    def __init__(self, callback: str, accepted: str, value: object) -> None:
        super().__init__(f"{callback} must return {accepted}, returned {value!r}")
        self.callback = callback
        self.accepted = accepted
        self.value_text = repr(value)

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild_bad_return, (self.callback, self.accepted, self.value_text)


class _Text(str):
    """A string that prints as itself, so that a rebuilt message does not gain quotes."""

    def __repr__(self) -> str:
        return str(self)


def _rebuild_bad_return(callback: str, accepted: str, value_text: str) -> BadReturn:
    return BadReturn(callback, accepted, _Text(value_text))


class Ignore(ActorflowError):
    """Raised by the child of an event, in place of work: nothing is to be done for this event.

    It is OTP's ``ignore``: the child counts as ended in good order.

    Example:
        >>> def resize(path):
        ...     if path.endswith(".txt"):
        ...         raise Ignore("no picture")
    """


class NotInStage(ActorflowError):
    """A stage's verb (`emit`, `notify`, …) was used on an object that no runtime has started."""


class CallError(ActorflowError):
    """A call to a stage got no result."""


class CallTimeout(CallError, TimeoutError):
    """No reply came within the deadline; the stage may still act on the request."""


class NoSuchStage(CallError):
    """There is no stage or child of that name."""


class NoSuchChild(CallError):
    """A `ConsumerSupervisor` has no child of that number, or it is gone already."""


class StageDown(CallError):
    """The called stage ended before it replied."""


class RunError(ActorflowError):
    """A run did not end well."""


class StageFailed(RunError):
    """A stage raised an exception that nothing handled.

    Args:
        stage: which stage, e.g. ``"count/1"``.
        summary: the exception's own text, ``"ValueError: no"``.
        remote_traceback: the formatted traceback of the stage's process.

    The original exception, where it could travel, is this error's ``__cause__``.
    """

    def __init__(self, stage: str, summary: str, remote_traceback: str = "") -> None:
        super().__init__(f"stage {stage} failed with {summary}")
        self.stage = stage
        self.summary = summary
        self.remote_traceback = remote_traceback

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.stage, self.summary, self.remote_traceback)


class StageKilled(RunError):
    """A stage's process died without a word: of a signal, or with an exit status.

    Args:
        stage: which stage, e.g. ``"count/1"``.
        detail: process id, signal or status, memory, out-of-memory kills, batch in hand.
    """

    def __init__(self, stage: str, detail: str) -> None:
        super().__init__(f"stage {stage} died: {detail}")
        self.stage = stage
        self.detail = detail

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.stage, self.detail)


class StartFailed(RunError):
    """A stage did not come up: its constructor or `on_start` raised, or it missed the deadline."""


class IntensityExceeded(RunError):
    """Children were restarted more often than `max_restarts` allows; the cause is ``__cause__``."""


class CheckpointError(ActorflowError):
    """A checkpoint file cannot be used: in use, damaged, of another topology, or a full disk."""


class AdmissionFull(ActorflowError):
    """A task pool has no room for a task, and whoever submitted it does not wait any longer.

    Args:
        query: for which query it was.
        admitted: how many tasks of that query wait for a worker.
    """

    def __init__(self, query: str, admitted: int) -> None:
        super().__init__(
            f"there is no room for a task of query {query!r}: {admitted} wait for a worker"
        )
        self.query = query
        self.admitted = admitted

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.query, self.admitted)


class QueryFailed(ActorflowError):
    """A query of a task pool failed; the exception, where it could travel, is the ``__cause__``.

    Args:
        query: which query.
        summary: why, ``"ValueError: no"``.
    """

    def __init__(self, query: str, summary: str) -> None:
        super().__init__(f"query {query!r} failed with {summary}")
        self.query = query
        self.summary = summary

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.query, self.summary)


class QueryShed(QueryFailed):
    """A query was ended because it held the most when all held too much.

    Args:
        query: which query.
        held: how much it held, in the units of the limit.
        limit: how much all queries may hold together.
    """

    def __init__(self, query: str, held: int, limit: int) -> None:
        super().__init__(query, f"holding {held} of {limit}, more than any other")
        self.held = held
        self.limit = limit

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.query, self.held, self.limit)


class DeadLetterError(ActorflowError):
    """A file of dead letters cannot be written or read, or a line of it is none."""


class Closed(ActorflowError):
    """The run, link or supervisor was closed by this side, and the operation needs it open."""


class PoolClosed(Closed):
    """A query of a task pool takes no more tasks: it is stopping, or it has ended."""


class Broken(ActorflowError):
    """The other side, or the machinery between, died unexpectedly."""


class PlatformUnsupported(ActorflowError):
    """This operating system cannot run actorflow."""


class BatchError(ActorflowError):
    """An item that was given to a batcher has no result; the subclass says why.

    Args:
        message: a sentence for a person.
        cause: what the processor raised, if that is why; also this error's ``__cause__``.
        remote_traceback: the traceback of the process that raised it, as text.
    """

    def __init__(
        self, message: str, cause: BaseException | None = None, remote_traceback: str = ""
    ) -> None:
        super().__init__(message)
        self.message = message
        self.cause = cause
        self.__cause__ = cause
        self.remote_traceback = remote_traceback

    def inner(self) -> BaseException:
        """What the processor raised, or this error itself when there is nothing behind it.

        Example:
            >>> BatchFailed("no", ValueError("odd")).inner()
            ValueError('odd')
        """
        return self.cause if self.cause is not None else self

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.message, self.cause, self.remote_traceback)


class BatcherClosed(BatchError, Closed):
    """The batcher is shutting down, or has, and takes no more items."""


class BatcherGone(BatchError, Broken):
    """The batcher ended before it answered, and nobody had asked it to; it may have acted."""


class BatchRejected(BatchError, Refused):
    """A batcher has no room for an item: so many batches of its key wait. Try again later.

    Args:
        key: the item's key.
        concurrency: ``"maxed_out"``: no batch of the key can start either; ``"available"``: one
            could, and the policy waits.
    """

    reason = "batch_queue_full"

    def __init__(self, key: object, concurrency: str) -> None:
        BatchError.__init__(self, f"the batches of key {key!r} are full; capacity: {concurrency}")
        self.key = key
        self.concurrency = concurrency
        self.detail = concurrency

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.key, self.concurrency)


class BatchFailed(BatchError):
    """The processor raised; every item of the batch gets this error, or the item that it names."""


class ResourceAcquisitionFailed(BatchError):
    """The processor's `acquire_resources` raised; the batch was not processed."""


class ProcessorInvariantViolation(BatchError):
    """The processor did not return one result for each input, which is a mistake in it.

    Args:
        expected: how many inputs there were.
        actual: how many results it returned; None when it returned no list.
    """

    def __init__(self, expected: int, actual: int | None) -> None:
        returned = "no list of results" if actual is None else f"{actual} results"
        super().__init__(f"the processor returned {returned} for {expected} inputs")
        self.expected = expected
        self.actual = actual

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.expected, self.actual)


class ProcessorPanic(BatchError):
    """The processor raised what is no `Exception`, such as `SystemExit`."""


class ProcessorCrashed(BatchError):
    """The process that had the batch in hand died.

    Args:
        exitcode: its exit status; below 0 the signal that killed it.
        phase: what it was doing: ``"acquire"`` or ``"process"``.
    """

    def __init__(self, exitcode: int, phase: str) -> None:
        super().__init__(f"the processor's process died with {exitcode} in phase {phase}")
        self.exitcode = exitcode
        self.phase = phase

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.exitcode, self.phase)


class BatchCancelled(BatchError):
    """The item was given up: by its caller, or because the batcher was told to stop."""


class BatchTimeout(BatchError, TimeoutError):
    """A phase of the batch took too long.

    Args:
        phase: ``"acquire"``, ``"process"``, or ``"wait"``: the caller's own limit.
        seconds: the limit.
    """

    def __init__(self, phase: str, seconds: float) -> None:
        super().__init__(f"no end of phase {phase} within {seconds:g} s")
        self.phase = phase
        self.seconds = seconds

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.phase, self.seconds)
