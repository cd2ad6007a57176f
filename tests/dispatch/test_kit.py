"""The conformance kit: it passes what is right, and finds each law broken."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from actorflow import (
    BroadcastDispatcher,
    DemandDispatcher,
    Dispatched,
    Dispatcher,
    OptionError,
    PartitionDispatcher,
)
from actorflow.testing import LawBroken, check_dispatcher
from tests.dispatch.fair import BREAKS, Fair, Queues, broken

PARTITIONS = [{"partition": number} for number in range(3)]


def three(number: int) -> int:
    """A partition function."""
    return number % 3


@pytest.mark.parametrize(
    ("factory", "subscriptions"),
    [
        (DemandDispatcher, [{}] * 4),
        (lambda: DemandDispatcher(chunk=1), [{}] * 4),
        (lambda: DemandDispatcher(chunk=3, shuffle_demands_on_first_dispatch=True), [{}] * 4),
        (lambda: DemandDispatcher(shuffle_demands_on_first_dispatch=True), [{}]),
        (BroadcastDispatcher, [{}] * 3),
        (BroadcastDispatcher, [{}, {"selector": "operator:truth"}]),
        (lambda: PartitionDispatcher(partitions=3), PARTITIONS),
        (lambda: PartitionDispatcher(partitions=3, by=three), PARTITIONS),
        (lambda: PartitionDispatcher(partitions=3, by=three, when_unassigned="drop"), PARTITIONS),
        (Fair, [{}] * 3),
        (Queues, [{}] * 3),
    ],
)
def test_what_is_right_passes(factory: Callable[[], Dispatcher], subscriptions: Any) -> None:
    """Actorflow's own keep every law, and so can others."""
    check_dispatcher(factory, subscriptions=subscriptions, runs=60, steps=150)


@pytest.mark.parametrize("name", BREAKS)
def test_what_the_guard_finds_the_kit_finds(name: str) -> None:
    """Each rule of an answer; the error says the seed, the run and what was done."""
    with pytest.raises(LawBroken) as caught:
        check_dispatcher(broken(name))
    assert "seed 0, run " in str(caught.value)
    assert "the last steps:" in str(caught.value)


class Backwards(Fair):
    """Within one answer the last event comes first."""

    def dispatch(self, events: list[Any], position: int) -> Dispatched:
        answer = super().dispatch(events, position)
        return Dispatched(answer.deliveries[::-1], answer.leftover)


class Swallows(Queues):
    """Says that nothing waits inside, and never hands it out: it seems to be dropped."""

    may_drop = True

    def ready(self) -> list[Any]:
        return []


class Stuck(Queues):
    """Keeps what waits inside for ever."""

    def ready(self) -> list[Any]:
        return []


class Adopts(Fair):
    """Credits whoever asks."""

    def ask(self, ref: int, count: int) -> None:
        self.credit[ref] = self.credit.get(ref, 0) + count


class Deaf(Fair):
    """Never passes a mark, nor a notification."""

    def mark(self, token: object) -> bool:
        return False


class Mute(Fair):
    """Never tells anybody anything."""

    def tell(self, token: object, refs: Any) -> list[int]:
        return []


class Locked(Fair):
    """Cannot be pickled."""

    def __init__(self) -> None:
        super().__init__()
        self.lock = threading.Lock()


class Forgets(Fair):
    """Has no time for what comes back."""

    holds = True
    kept = 0

    @property
    def queued(self) -> int:
        return self.kept

    @property
    def first_position(self) -> int | None:
        return 0 if self.kept else None

    def give_back(self, ref: int, batches: Any) -> list[Any]:
        self.kept += sum(len(batch.events) for batch in batches)
        return []


@pytest.mark.parametrize(
    ("factory", "law"),
    [
        (Backwards, "what a consumer gets for the first time comes in the order of emission"),
        (Stuck, "nothing stays behind"),
        (Swallows, "nothing stays behind"),
        (Forgets, "nothing stays behind"),
        (Adopts, "capacity is a number from 0 to the sum of all credit"),
        (Deaf, "a mark is passed once"),
        (Mute, "a notification reaches each consumer"),
        (Locked, "it can be pickled"),
    ],
)
def test_laws_over_time_are_found(factory: Callable[[], Dispatcher], law: str) -> None:
    """What no single answer shows."""
    with pytest.raises(LawBroken) as caught:
        check_dispatcher(factory)
    assert caught.value.law.startswith(law)


def test_the_same_seed_finds_the_same() -> None:
    """A failure can be repeated."""
    found = []
    for _ in range(2):
        with pytest.raises(LawBroken) as caught:
            check_dispatcher(Stuck, seed=7)
        found.append(str(caught.value))
    assert found[0] == found[1]
    assert "seed 7" in found[0]


@pytest.mark.parametrize(
    ("arguments", "option"),
    [
        ({"runs": 0}, "runs"),
        ({"steps": 1.5}, "steps"),
        ({"subscriptions": []}, "subscriptions"),
        ({"event": lambda number: None}, "event"),
    ],
)
def test_bad_arguments_are_refused(arguments: dict[str, Any], option: str) -> None:
    """Each by its name."""
    with pytest.raises(OptionError) as caught:
        check_dispatcher(Fair, **arguments)
    assert caught.value.option == option


def test_a_factory_makes_dispatchers() -> None:
    """Anything else is refused."""
    with pytest.raises(OptionError, match="factory must be a function that returns a Dispatcher"):
        check_dispatcher(dict)  # type: ignore[arg-type]
