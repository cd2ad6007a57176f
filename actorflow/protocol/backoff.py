"""How long to wait before the next attempt: after a failed life, batch or call."""

from __future__ import annotations

from dataclasses import fields

from actorflow.errors import OptionError
from actorflow.protocol.arguments import check_fields, is_number
from actorflow.records import dataclass

__all__ = ["Backoff", "backoff_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """A pause before each restart, or other attempt, longer with each failure in a row.

    The n-th restart in a row waits ``initial * factor ** (n - 1)`` seconds, at most `max`. A life
    that lasted at least `max` seconds ends the row. Such restarts do not count towards the
    supervisor's intensity: `attempts` limits them instead.

    Args:
        initial: seconds before the first restart, above 0.
        factor: how much longer each further pause is, from 1.
        max: the longest pause in seconds, at least `initial`.
        attempts: how many restarts in a row are tried, from 1, before the supervisor gives up as
            if its intensity were exceeded; None for any number.
        jitter: which part of a pause is left to chance, from 0 to 1, so that replicas do not come
            back all at once. It depends on the child and its generation alone, so a simulated run
            can be repeated.

    Raises:
        OptionError: an option breaks its rule.

    Example:
        >>> backoff = Backoff(initial=0.5, factor=2, max=3)
        >>> [backoff.pause(failures, "source/0") for failures in range(1, 5)]
        [0.5, 1.0, 2.0, 3.0]
    """

    initial: float = 0.1
    factor: float = 2.0
    max: float = 30.0
    attempts: int | None = None
    jitter: float = 0.0

    def __post_init__(self) -> None:
        if not is_number(self.initial) or self.initial <= 0:
            raise OptionError("initial", "a number of seconds above 0", self.initial)
        if not is_number(self.factor) or self.factor < 1:
            raise OptionError("factor", "a number from 1", self.factor)
        if not is_number(self.max) or self.max < self.initial:
            rule = "a number of seconds, at least as many as initial"
            raise OptionError("max", rule, self.max)
        if self.attempts is not None and (type(self.attempts) is not int or self.attempts < 1):
            raise OptionError("attempts", "an integer of at least 1, or null", self.attempts)
        if not is_number(self.jitter) or not 0 <= self.jitter <= 1:
            raise OptionError("jitter", "a number from 0 to 1", self.jitter)

    def pause(self, failures: int, who: str) -> float:
        """Seconds to wait before a restart.

        Args:
            failures: how many failures in a row there were, from 1.
            who: whose restart; it makes the random part.
        """
        # A large power of a float overflows; by then the longest pause has long been reached.
        steps = min(failures - 1, 1000 if self.factor < 2 else 64)
        pause = min(self.initial * self.factor**steps, self.max)
        if not self.jitter:
            return float(pause)
        from hashlib import blake2b  # few have any

        # A checksum would not do: those of names that differ in a digit are close to each other.
        digest = blake2b(f"{who} {failures}".encode(), digest_size=4).digest()
        return pause * (1 - self.jitter * int.from_bytes(digest) / 2**32)


def backoff_of(value: object) -> Backoff | None:
    """A back-off from a map of its options, a `Backoff`, or None.

    Raises:
        OptionError: it is none of them, has an unknown key, or an option breaks its rule.

    Example:
        >>> backoff_of({"initial": 0.5, "max": 8}).factor
        2.0
    """
    if value is None or isinstance(value, Backoff):
        return value
    known = [each.name for each in fields(Backoff)]
    rule = "a Backoff or a map with " + ", ".join(known)
    return Backoff(**check_fields("backoff", value, known, rule))
