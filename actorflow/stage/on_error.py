"""What becomes of events whose `handle_events` fails: the rule, and the steps that follow from it.

Pure. `OnError` is the option; `Treatment` says, for one batch that failed, what to do next. It
tries a batch again as often as the rule says, and then its events one by one: each is handled at
most twice besides, and the one that fails is alone when it does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from enum import Enum, auto

from actorflow.errors import OptionError
from actorflow.protocol.backoff import Backoff
from actorflow.protocol.delivery import Attempt
from actorflow.records import dataclass

__all__ = ["ACTIONS", "ENDINGS", "DoNext", "OnError", "Retry", "Step", "Treatment"]

ENDINGS = ("restart", "skip", "dead_letter")
"""What can become of an event in the end."""

ACTIONS = ("restart", "retry", "skip", "dead_letter")
"""The names of rules."""

USUAL_DELIVERIES = 3
"""How often an event is delivered that kills its consumer, where it can be given up after that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry(Backoff):
    """How often a batch that failed is tried again, after which pauses, and what follows.

    Args:
        initial: seconds before the first retry, above 0.
        factor: how much longer each further pause is, from 1.
        max: the longest pause in seconds, at least `initial`.
        attempts: how many retries there are, from 1.
        jitter: which part of a pause is left to chance, from 0 to 1.
        then: what becomes of an event that fails after all of them: ``"restart"``, ``"skip"`` or
            ``"dead_letter"``.

    Raises:
        OptionError: an option breaks its rule.

    Example:
        >>> retry = Retry(attempts=3, initial=0.5, then="skip")
        >>> [retry.pause(failures, "count/0") for failures in (1, 2, 3)]
        [0.5, 1.0, 2.0]
    """

    attempts: int | None = 3
    then: str = "restart"

    def __post_init__(self) -> None:
        if type(self.attempts) is not int or self.attempts < 1:
            raise OptionError("attempts", "an integer of at least 1", self.attempts)
        Backoff.__post_init__(self)
        if self.then not in ENDINGS:
            raise OptionError("then", "one of " + ", ".join(ENDINGS), self.then)


@dataclass(frozen=True, slots=True)
class OnError:
    """What becomes of an event that cannot be handled.

    Args:
        then: in the end: ``"restart"``, ``"skip"`` or ``"dead_letter"``.
        retry: what is tried before, or None.

    Example:
        >>> OnError.of("skip")
        OnError(then='skip', retry=None)
        >>> OnError.of({"retry": {"attempts": 5, "then": "dead_letter"}}).then
        'dead_letter'
    """

    then: str = "restart"
    retry: Retry | None = None

    @classmethod
    def of(cls, value: object) -> OnError:
        """Read the option.

        Raises:
            OptionError: it is neither a rule's name nor a map from ``retry`` to its options, or one
                of those breaks its rule.
        """
        if isinstance(value, OnError):
            return value
        if value == "retry":
            value = Retry()
        elif isinstance(value, str) and value in ENDINGS:
            return cls(value)
        elif isinstance(value, Mapping) and list(value) == ["retry"]:
            value = _retry(value["retry"])
        if not isinstance(value, Retry):
            rule = "one of " + ", ".join(ACTIONS) + ", or a map from retry to its options"
            raise OptionError("on_error", rule, value)
        return cls(value.then, value)

    @property
    def restarts(self) -> bool:
        """Whether a failure ends the stage at once."""
        return self.retry is None and self.then == "restart"

    @property
    def retries(self) -> int:
        """How often a batch is tried again."""
        return 0 if self.retry is None or self.retry.attempts is None else self.retry.attempts

    def gives_up(self, attempt: Attempt, max_deliveries: int | None) -> bool:
        """Whether an event is not to be handled another time; never one that had company.

        Args:
            attempt: which delivery this would be, the others having ended its consumer's life.
            max_deliveries: how many there may be; None for any number.
        """
        if not attempt.alone:
            return False
        if max_deliveries is not None and attempt.number > max_deliveries:
            return True
        raised = bool(attempt.failure.get("traceback"))
        return self.then != "restart" and raised and attempt.number > 1 + self.retries


def _retry(options: object) -> object:
    known = [each.name for each in fields(Retry)]
    if options is None:
        return Retry()
    if isinstance(options, Mapping):
        unknown = [name for name in options if name not in known]
        if unknown:
            raise OptionError("retry", "a map with " + ", ".join(known), unknown[0])
        return Retry(**options)
    return options


class DoNext(Enum):
    """What to do next with a batch that has failed."""

    CALL = auto()
    """Handle the events from `first` to `last`, after the pause."""
    GIVE_UP = auto()
    """Give the one event up, then say so."""
    RESTART = auto()
    """End the stage with the error."""
    DONE = auto()
    """Every event has been handled or given up."""


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to do.

    Args:
        do: what.
        first: the place in the batch of the first event that it is about.
        last: the place behind the last one.
        pause: seconds to wait before.
    """

    do: DoNext
    first: int = 0
    last: int = 0
    pause: float = 0.0


class Treatment:
    """A batch that has failed, from its first failure until nothing is left of it to be done.

    Args:
        count: how many events it has.
        rule: what is wanted.
        who: whose batch, for the random part of pauses.

    Example:
        >>> treatment = Treatment(2, OnError("skip"), "count/0")
        >>> treatment.failed()
        Step(do=<DoNext.CALL: 1>, first=0, last=1, pause=0.0)
        >>> treatment.failed().do, treatment.given_up().first, treatment.succeeded().do
        (<DoNext.GIVE_UP: 2>, 1, <DoNext.DONE: 4>)
    """

    def __init__(self, count: int, rule: OnError, who: str) -> None:
        self._count = count
        self._rule = rule
        self._who = who
        self._place = -1
        self.failures = 0
        """How often the whole batch has failed."""

    @property
    def tried(self) -> int:
        """How often the event in hand has been tried."""
        return self.failures + (self._place >= 0)

    def failed(self) -> Step:
        """What was called has failed, for the first time or again."""
        if self._place >= 0:
            return self._give_up()
        self.failures += 1
        retry = self._rule.retry
        if retry is not None and self.failures <= self._rule.retries:
            pause = retry.pause(self.failures, self._who)
            return Step(DoNext.CALL, 0, self._count, pause)
        if self._rule.then == "restart":
            return Step(DoNext.RESTART)
        if self._count == 1:
            return Step(DoNext.GIVE_UP, 0, 1)
        return self._next()

    def succeeded(self) -> Step:
        """What was called has succeeded."""
        return Step(DoNext.DONE) if self._place < 0 else self._next()

    def given_up(self) -> Step:
        """The event that was to be given up is."""
        return Step(DoNext.DONE) if self._place < 0 else self._next()

    def _give_up(self) -> Step:
        return Step(DoNext.GIVE_UP, self._place, self._place + 1)

    def _next(self) -> Step:
        self._place += 1
        if self._place == self._count:
            return Step(DoNext.DONE)
        return Step(DoNext.CALL, self._place, self._place + 1)
