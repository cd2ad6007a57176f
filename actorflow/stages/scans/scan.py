"""What a scan is, and scans made of others."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any, Generic, TypeVar

from actorflow.dispatch.functions import function_of, resolve_function
from actorflow.errors import OptionError, Refused, ScanNotPicklable
from actorflow.protocol.codec import dump
from actorflow.records import dataclass

__all__ = [
    "Done",
    "Partial",
    "Scan",
    "filtering",
    "function_of",
    "latest",
    "length",
    "lmap",
    "of",
    "pickled_scan",
    "scan_of",
    "sum_of",
    "take",
]

State = TypeVar("State")
Value = TypeVar("Value")
Item = TypeVar("Item")


class _Last(Enum):
    STATE = "the last one"


_LAST = _Last.STATE


@dataclass(frozen=True, slots=True)
class Partial(Generic[State]):
    """A scan goes on, from this state.

    Example:
        >>> class Total(Scan):
        ...     def initial(self):
        ...         return Partial(0)
        ...     def step(self, state, item):
        ...         return Partial(state + item)
        >>> Total().step(3, 4)
        Partial(state=7)
    """

    state: State


@dataclass(frozen=True, slots=True)
class Done(Generic[Value]):
    """A scan is finished, with this as its last value.

    Args:
        value: the value.
        state: the state that `Scan.final` gets; left out, the last one that was `Partial`.

    Example:
        >>> def first_above(limit):
        ...     return lambda state, item: Done(item) if item > limit else Partial(state)
        >>> first_above(10)(None, 7), first_above(10)(None, 12).value
        (Partial(state=None), 12)
    """

    value: Value
    state: Any = _LAST

    def state_after(self, last: Any) -> Any:
        """The state that `Scan.final` gets when `last` was the last one that was `Partial`."""
        return last if self.state is _LAST else self.state


class Scan(Generic[Item, Value]):
    """A left scan: a value at the beginning, and one for each input, until it is done.

    A subclass defines `initial` and `step`, and as needed `extract` and `final`. A scan that took k
    inputs and is not done has said k + 1 values. It travels to where it runs, so it has to pickle;
    what it opens it opens in `initial`.

    Example:
        >>> class Longest(Scan):
        ...     def initial(self):
        ...         return Partial("")
        ...     def step(self, state, item):
        ...         return Partial(max(state, item, key=len))
        >>> run_scan(Longest(), ["a", "abc", "ab"])
        ['', 'a', 'abc', 'abc']

    Idea from: streamly's ``Scanl``.
    """

    def initial(self) -> Partial[Any] | Done[Value]:
        """Begin; called once, before any input."""
        raise NotImplementedError(f"{type(self).__name__} must define initial")

    def step(self, state: Any, item: Item) -> Partial[Any] | Done[Value]:
        """Take an input."""
        raise NotImplementedError(f"{type(self).__name__} must define step")

    def extract(self, state: Any) -> Value:
        """The value of a state; the state itself unless you override it."""
        value: Value = state
        return value

    def final(self, state: Any) -> None:
        """Let go of what a state holds.

        Called exactly once for every scan whose `initial` returned: when it is done, when the input
        is over, when it is removed, and when it or another one fails. Not when its process is
        killed. When `initial` was `Done` at once, without a state, the state is None.
        """


def run_scan(scan: Scan[Any, Any], items: Any) -> list[Any]:
    """The values that a scan makes of some inputs, here and now.

    Example:
        >>> run_scan(take(2, sum_of()), [1, 2, 3])
        [0, 1, 3]
    """
    state: Any = None
    values: list[Any] = []
    for number, item in enumerate([None, *items]):
        answer = scan.step(state, item) if number else scan.initial()
        if isinstance(answer, Done):
            values.append(answer.value)
            state = answer.state_after(state)
            break
        state = answer.state
        values.append(scan.extract(state))
    scan.final(state)
    return values


@dataclass(frozen=True, slots=True)
class _Of(Scan[Any, Any]):
    start: Any
    function: Callable[[Any, Any], Any]
    extractor: Callable[[Any], Any] | None

    def initial(self) -> Partial[Any]:
        return Partial(self.start)

    def step(self, state: Any, item: Any) -> Partial[Any]:
        return Partial(self.function(state, item))

    def extract(self, state: Any) -> Any:
        return state if self.extractor is None else self.extractor(state)


def of(
    initial: Any,
    function: Callable[[Any, Any], Any] | str,
    *,
    extract: Callable[[Any], Any] | str | None = None,
) -> Scan[Any, Any]:
    """A scan that never ends by itself, from a first state and a function of state and input.

    Args:
        initial: the first state.
        function: makes the next state of a state and an input.
        extract: makes the value of a state; left out, it is the state.

    Functions may be given as ``"module:name"``, here and below.

    Raises:
        OptionError: an argument is no function.

    Example:
        >>> run_scan(of(1, lambda product, number: product * number), [2, 3])
        [1, 2, 6]
    """
    extractor = None if extract is None else function_of("extract", extract)
    return _Of(initial, function_of("function", function), extractor)


@dataclass(frozen=True, slots=True)
class _Take(Scan[Any, Any]):
    count: int
    scan: Scan[Any, Any]

    def initial(self) -> Partial[Any] | Done[Any]:
        return self._counted(0, None, self.scan.initial())

    def step(self, state: Any, item: Any) -> Partial[Any] | Done[Any]:
        taken, inner = state
        return self._counted(taken + 1, inner, self.scan.step(inner, item))

    def extract(self, state: Any) -> Any:
        return self.scan.extract(state[1])

    def final(self, state: Any) -> None:
        self.scan.final(None if state is None else state[1])

    def _counted(
        self, taken: int, before: Any, answer: Partial[Any] | Done[Any]
    ) -> Partial[Any] | Done[Any]:
        if isinstance(answer, Done):
            return Done(answer.value, (taken, answer.state_after(before)))
        if taken == self.count:
            return Done(self.scan.extract(answer.state), (taken, answer.state))
        return Partial((taken, answer.state))


def take(count: int, scan: Scan[Any, Any] | str | Mapping[str, Any]) -> Scan[Any, Any]:
    """A scan that is done after so many inputs.

    Args:
        count: how many inputs, from 0.
        scan: what takes them, as `scan_of` takes it.

    Raises:
        OptionError: `count` is no such number, or `scan` no scan.

    Example:
        >>> run_scan(take(2, latest()), "abc")
        [None, 'a', 'b']
    """
    if type(count) is not int or count < 0:
        raise OptionError("count", "an integer of at least 0", count)
    return _Take(count, scan_of(scan))


@dataclass(frozen=True, slots=True)
class _Filtering(Scan[Any, Any]):
    predicate: Callable[[Any], Any]

    def initial(self) -> Partial[Any]:
        return Partial(None)

    def step(self, state: Any, item: Any) -> Partial[Any]:
        return Partial(item if self.predicate(item) else None)


def filtering(predicate: Callable[[Any], Any] | str) -> Scan[Any, Any]:
    """A scan whose value is the input if the predicate accepts it, else None.

    Example:
        >>> run_scan(filtering(str.isupper), "aBC")
        [None, None, 'B', 'C']
    """
    return _Filtering(function_of("predicate", predicate))


@dataclass(frozen=True, slots=True)
class _Lmap(Scan[Any, Any]):
    function: Callable[[Any], Any]
    scan: Scan[Any, Any]

    def initial(self) -> Partial[Any] | Done[Any]:
        return self.scan.initial()

    def step(self, state: Any, item: Any) -> Partial[Any] | Done[Any]:
        return self.scan.step(state, self.function(item))

    def extract(self, state: Any) -> Any:
        return self.scan.extract(state)

    def final(self, state: Any) -> None:
        self.scan.final(state)


def lmap(
    function: Callable[[Any], Any] | str, scan: Scan[Any, Any] | str | Mapping[str, Any]
) -> Scan[Any, Any]:
    """A scan of what a function makes of each input.

    Example:
        >>> run_scan(lmap(len, sum_of()), ["a", "bcd"])
        [0, 1, 4]
    """
    return _Lmap(function_of("function", function), scan_of(scan))


def _newest(_: Any, item: Any) -> Any:
    return item


def _one_more(count: int, _: Any) -> int:
    return count + 1


def _plus(total: Any, item: Any) -> Any:
    return total + item


def latest() -> Scan[Any, Any]:
    """A scan whose value is the last input, None at first.

    Example:
        >>> run_scan(latest(), "ab")
        [None, 'a', 'b']
    """
    return of(None, _newest)


def length() -> Scan[Any, int]:
    """A scan that counts its inputs.

    Example:
        >>> run_scan(length(), "ab")
        [0, 1, 2]
    """
    return of(0, _one_more)


def sum_of() -> Scan[Any, Any]:
    """A scan that adds its inputs up.

    Example:
        >>> run_scan(sum_of(), [3, 4])
        [0, 3, 7]
    """
    return of(0, _plus)


def scan_of(given: Any) -> Scan[Any, Any]:
    """A scan from one, or from how a file names one.

    Args:
        given: a `Scan`; or ``"module:name"`` of one, or of a class or function without arguments
            that makes one; or a map with such a text as ``use``, and ``args`` for it.

    Raises:
        OptionError: it is none of them, or it cannot be imported or made.

    Example:
        >>> run_scan(scan_of("actorflow.stages.scans:length"), "ab")
        [0, 1, 2]
    """
    use, arguments = given, {}
    if isinstance(given, Mapping):
        rule = "a map with use and, as wanted, args"
        if "use" not in given or set(given) - {"use", "args"}:
            raise OptionError("scan", rule, dict(given))
        use, arguments = given["use"], dict(given.get("args") or {})
    if isinstance(use, str):
        try:
            use = resolve_function("scan", use)
        except Refused as error:
            rule = "a Scan, or 'module:name' of what makes one"
            raise OptionError("scan", rule, given, error.detail) from error
    if not isinstance(use, Scan) and callable(use):
        try:
            use = use(**arguments)
        except TypeError as error:
            raise OptionError("scan", "what its arguments can make", given, str(error)) from error
    if not isinstance(use, Scan):
        raise OptionError("scan", "a Scan", given)
    return use


def pickled_scan(scan: Scan[Any, Any]) -> bytes:
    """A scan in bytes, for where it will run.

    Raises:
        ScanNotPicklable: it holds something that cannot travel.
    """
    try:
        return dump(scan)
    except Exception as error:
        raise ScanNotPicklable(type(scan).__qualname__, str(error)) from error
