"""What a batcher's user writes, the processor, and how one phase of it is run in a child."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Sequence
from typing import Any

from actorflow.dispatch.functions import resolve_function
from actorflow.errors import (
    BatchError,
    BatchFailed,
    OptionError,
    ProcessorCrashed,
    ProcessorInvariantViolation,
    ProcessorPanic,
    Refused,
    ResourceAcquisitionFailed,
)
from actorflow.protocol.codec import dump, encode_value
from actorflow.protocol.failure import Failure
from actorflow.records import dataclass
from actorflow.stage.children import ChildEnd, ChildTemplate

__all__ = ["Err", "Ok", "PhaseEnd", "Plan", "Processor", "outputs_of", "size_in_bytes"]

THREAD, TASK, INLINE = "thread", "task", "inline"

ACQUIRE, PROCESS, RELEASE = "acquire", "process", "release"
"""The phases of a batch."""


class Processor:
    """What is done with a batch. Subclass it, or write any class that has its `process`.

    A plain function of the key and the inputs will do when there is nothing to acquire. Every
    method may be a coroutine function.

    Example:
        >>> class Upper(Processor):
        ...     def process(self, key, inputs, resources):
        ...         return [text.upper() for text in inputs]
        >>> Upper().process("a", ["b"], None)
        ['B']
    """

    def process(self, key: Any, inputs: list[Any], resources: Any) -> Any:
        """Process a batch.

        Args:
            key: the key of its items.
            inputs: at least one, in the order in which they came.
            resources: what `acquire_resources` returned; None without one.

        Returns:
            a list with one output for each input, in order. `Err` in the place of an output fails
            that item alone; `Ok` around an output is the same as the output.
        """
        raise NotImplementedError(f"{type(self).__name__} must define process")


@dataclass(frozen=True, slots=True)
class Ok:
    """An output that is a value; it says so where the value itself might be an `Err`.

    Example:
        >>> def halves(key, inputs):
        ...     return [Err("it is odd") if number % 2 else Ok(number // 2) for number in inputs]
        >>> halves("a", [4, 5])
        [Ok(value=2), Err(error='it is odd')]
    """

    value: Any


@dataclass(frozen=True, slots=True)
class Err:
    """In the place of an output: this item failed, and the others of its batch did not.

    Args:
        error: why: an exception, or a text.

    Example:
        >>> def halves(key, inputs):
        ...     return [number // 2 if number % 2 == 0 else Err("it is odd") for number in inputs]
        >>> halves("a", [4, 5])
        [2, Err(error='it is odd')]
    """

    error: BaseException | str


@dataclass(frozen=True, slots=True)
class PhaseEnd:
    """How a phase of a batch ended in its child.

    Args:
        value: what the method returned; of `process`, with `Err` replaced by `Failure`.
        failure: what it raised.
        panic: whether that is no `Exception`.
    """

    value: Any = None
    failure: Failure | None = None
    panic: bool = False

    def __reduce__(self) -> tuple[Any, ...]:
        # It travels once for each batch, while the worker keeps the next one waiting.
        return PhaseEnd, (self.value, self.failure, self.panic)


@dataclass(frozen=True, slots=True)
class Plan:
    """A processor, and where it runs.

    Args:
        processor: an object with a method `process`, its class, or a function of key and inputs. An
            object of the class is made once where it runs: in each worker, or in the stage.
        workers: ``"inline"``, ``"thread"``, ``"task"``, or a number of worker processes.
    """

    processor: Any
    workers: str | int

    @classmethod
    def of(cls, processor: Any, workers: Any) -> Plan:
        """Check a processor and where it is to run.

        Args:
            processor: an object, a class without arguments, a function, or ``"module:name"``.
            workers: as in `Plan`; None for ``"task"`` when it is asynchronous, else ``"thread"``.

        Raises:
            OptionError: one of them breaks its rule.
        """
        found = _resolved(processor)
        asynchronous = _is_asynchronous(found)
        if workers is None:
            workers = TASK if asynchronous else THREAD
        number = type(workers) is int and workers >= 1
        if not number and workers not in (INLINE, THREAD, TASK):
            rule = "inline, thread, task, or a number of processes from 1"
            raise OptionError("workers", rule, workers)
        if asynchronous != (workers == TASK):
            rule = "task exactly when the processor has a coroutine function"
            raise OptionError("workers", rule, workers)
        return cls(found, workers)

    @property
    def acquires(self) -> bool:
        """Whether batches need resources."""
        return callable(getattr(self.processor, "acquire_resources", None))

    @property
    def releases(self) -> bool:
        """Whether there is something to do when a batch is over."""
        return callable(getattr(self.processor, "release_resources", None))

    @property
    def inline(self) -> bool:
        """Whether it runs on the batcher's own thread."""
        return self.workers == INLINE

    def template(self) -> ChildTemplate:
        """What runs a phase: `run_phase` with the processor, then phase, key, inputs, resources.

        Raises:
            TypeError: the processor cannot travel to a worker process.
        """
        if isinstance(self.workers, int):
            template = ChildTemplate(
                run=run_phase,
                arguments=(self.processor,),
                restart="temporary",
                workers=self.workers,
            )
            # Workers are told of it when there is work; what cannot travel is to fail before.
            dump(template)
            return template
        if self.workers == TASK:
            return ChildTemplate(
                run=run_phase_in_task,
                arguments=(_made(self.processor),),
                kind="task",
                restart="temporary",
            )
        return ChildTemplate(
            run=run_phase, arguments=(_made(self.processor),), kind="thread", restart="temporary"
        )


# --- in the child ---------------------------------------------------------------------------------


def run_phase(processor: Any, phase: str, key: Any, inputs: list[Any], extra: Any) -> PhaseEnd:
    """Run one phase of a batch.

    Args:
        processor: whose.
        phase: ``"acquire"``, ``"process"`` or ``"release"``.
        key: of the batch.
        inputs: of the batch, for ``"process"``.
        extra: its resources; for ``"release"`` a list of them and how the batch ended.
    """
    try:
        return _ended(phase, _call(processor, phase, key, inputs, extra))
    except (SystemExit, KeyboardInterrupt, GeneratorExit) as panic:
        return PhaseEnd(failure=Failure.of(panic), panic=True)
    except Exception as error:  # noqa: BLE001  (whatever it raises is the answer of its items)
        return PhaseEnd(failure=Failure.of(error))


async def run_phase_in_task(
    processor: Any, phase: str, key: Any, inputs: list[Any], extra: Any
) -> PhaseEnd:
    """As `run_phase`, for methods that may be coroutine functions."""
    try:
        result = _call(processor, phase, key, inputs, extra)
        if isinstance(result, Awaitable):
            result = await result
        return _ended(phase, result)
    except (SystemExit, KeyboardInterrupt, GeneratorExit) as panic:
        return PhaseEnd(failure=Failure.of(panic), panic=True)
    except Exception as error:  # noqa: BLE001  (whatever it raises is the answer of its items)
        return PhaseEnd(failure=Failure.of(error))


_MADE: dict[type, Any] = {}
"""The processors of this process, made of their classes once."""


def _made(processor: Any) -> Any:
    """The processor, or, of a class, the one object of it in this process."""
    if not isinstance(processor, type):
        return processor
    if processor not in _MADE:
        _MADE[processor] = processor()
    return _MADE[processor]


def _call(processor: Any, phase: str, key: Any, inputs: list[Any], extra: Any) -> Any:
    processor = _made(processor)
    if phase == ACQUIRE:
        return processor.acquire_resources(key)
    if phase == RELEASE:
        resources, outcome = extra
        return processor.release_resources(key, resources, outcome)
    if hasattr(processor, "process"):
        return processor.process(key, inputs, extra)
    return processor(key, inputs)


def _ended(phase: str, result: Any) -> PhaseEnd:
    if phase == PROCESS and isinstance(result, list | tuple):
        return PhaseEnd([_output(each) for each in result])
    return PhaseEnd(result)


def _output(output: Any) -> Any:
    """An output as it travels: an exception goes as a `Failure`, which always can."""
    if not isinstance(output, Err):
        return output
    if isinstance(output.error, BaseException):
        return Failure.of(output.error)
    return Failure(str(output.error), "")


# --- from the child -------------------------------------------------------------------------------


def error_of(phase: str, end: ChildEnd) -> BatchError | None:
    """Why a phase has no result; None when it has one."""
    if not end.normal or not isinstance(end.result, PhaseEnd):
        if isinstance(end.reason, list) and end.reason[0] in ("signal", "exit"):
            number = int(end.reason[1])
            return ProcessorCrashed(-number if end.reason[0] == "signal" else number, phase)
        failure = end.failure or Failure(f"the child ended with {end.reason}", "")
        return _raised(phase, failure, panic=False)
    if end.result.failure is not None:
        return _raised(phase, end.result.failure, panic=end.result.panic)
    return None


def outputs_of(count: int, end: PhaseEnd) -> list[Any] | BatchError:
    """What a batch of so many items has come to: an output or an error for each, or one for all."""
    outputs = end.value
    if not isinstance(outputs, list):
        return ProcessorInvariantViolation(count, None)
    if len(outputs) != count:
        return ProcessorInvariantViolation(count, len(outputs))
    return [_value(output) for output in outputs]


def _value(output: Any) -> Any:
    if isinstance(output, Failure):
        return _raised(PROCESS, output, panic=False)
    return output.value if isinstance(output, Ok) else output


def _raised(phase: str, failure: Failure, *, panic: bool) -> BatchError:
    cause, text = failure.exception(), failure.traceback
    said = f"the processor raised in phase {phase}: {failure.summary}"
    if panic:
        return ProcessorPanic(said, cause, text)
    if phase == ACQUIRE:
        return ResourceAcquisitionFailed(said, cause, text)
    return BatchFailed(said, cause, text)


# --- arguments ------------------------------------------------------------------------------------


def size_in_bytes(item: Any) -> int:
    """The weight of an item when nobody says: its length in bytes, as text, or as it travels.

    Example:
        >>> size_in_bytes(b"abc"), size_in_bytes("ä"), size_in_bytes([1, 2])
        (3, 2, 3)
    """
    if isinstance(item, bytes | bytearray | memoryview):
        return len(item)
    if isinstance(item, str):
        return len(item.encode("utf-8", "surrogatepass"))
    return len(encode_value(item).body)


def _resolved(processor: Any) -> Any:
    rule = "an object with a method process, its class, a function of key and inputs, or its name"
    found = processor
    if isinstance(processor, str):
        try:
            found = resolve_function("processor", processor)
        except Refused as error:
            raise OptionError("processor", rule, processor, error.detail) from error
    processes = callable(getattr(found, "process", None))
    if not processes and (isinstance(found, type) or not callable(found)):
        raise OptionError("processor", rule, processor)
    if processes:
        _refuse_uncallable(found.process, ("key", "inputs", "resources"), isinstance(found, type))
    else:
        _refuse_uncallable(found, ("key", "inputs"), unbound=False)
    return found


def _refuse_uncallable(function: Any, given: Sequence[str], unbound: bool) -> None:
    """Refuse a function that cannot be called as it will be: no batch could be processed.

    Args:
        function: a processor's.
        given: what it will be called with.
        unbound: whether it is still to get its `self`.
    """
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return  # some that are written in C do not tell
    try:
        signature.bind(*("self",) * unbound, *given)
    except TypeError as error:
        rule = f"something that can be called with {', '.join(given)}"
        raise OptionError("processor", rule, function, str(error)) from None


def _is_asynchronous(processor: Any) -> bool:
    names = ("process", "acquire_resources", "release_resources")
    methods: Sequence[Any] = [getattr(processor, name, None) for name in names]
    if not callable(methods[0]):
        methods = [processor]
    return any(inspect.iscoroutinefunction(each) for each in methods)
