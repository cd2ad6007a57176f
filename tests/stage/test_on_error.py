"""Events whose `handle_events` fails: what becomes of them in the stage, step by step."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from itertools import chain
from typing import Any

import pytest

from actorflow import Consumer, OptionError, ProducerConsumer, Subscription
from actorflow.protocol import control
from actorflow.protocol.delivery import Attempt
from actorflow.protocol.failure import Failure
from actorflow.stage.on_error import DoNext, OnError, Treatment
from actorflow.stage.options import StageOptions
from actorflow.testing import StageHarness

RAISED = Failure("ValueError: no", "Traceback…").to_wire()
KILLED = Failure("killed", "").to_wire()


class Picky(Consumer):
    """Takes all events but some; the first calls may fail whatever they are given."""

    def __init__(self, bad: tuple[int, ...] = (), fails_first: int = 0) -> None:
        self.bad = bad
        self.fails = fails_first
        self.calls: list[list[int]] = []

    def handle_events(self, events: list[int], subscription: Subscription) -> Any:
        self.calls.append(events)
        if self.fails:
            self.fails -= 1
            raise ConnectionError("not now")
        for event in events:
            if event in self.bad:
                raise ValueError(f"no {event}")


class PickyDoubles(ProducerConsumer):
    """Doubles all events but some; lazily, so that it fails while its result is read."""

    def __init__(self, bad: tuple[int, ...] = ()) -> None:
        self.bad = bad

    def handle_events(self, events: list[int], subscription: Subscription) -> Iterator[int]:
        for event in events:
            if event in self.bad:
                raise ValueError(f"no {event}")
            yield 2 * event


def sink(on_error: Any, max_deliveries: int | None = None, **args: Any) -> StageHarness:
    """A consumer with this rule, linked to a producer."""
    harness = StageHarness(Picky, args, on_error=on_error, max_deliveries=max_deliveries)
    harness.link_to_producer(1, "source", max_demand=100)
    return harness


def letters(harness: StageHarness) -> list[control.DeadLetter]:
    """What it has sent to its supervisor as dead letters."""
    return [each for each in harness.told if isinstance(each, control.DeadLetter)]


def acked(harness: StageHarness) -> int:
    """The batch up to which everything is acknowledged by now."""
    harness.advance(seconds=0.005)
    return harness.acked(1)


# --- the steps ------------------------------------------------------------------------------------


def test_a_batch_that_failed_is_handled_event_by_event_and_each_at_most_twice() -> None:
    """The one that fails is alone when it does."""
    harness = sink("skip", bad=(3,))
    harness.route(1, [1, 2, 3, 4])
    assert harness.behaviour.calls == [[1, 2, 3, 4], [1], [2], [3], [4]]
    assert harness.counters["skipped"] == 1
    assert harness.counters["retried"] == 4
    assert acked(harness) == 1
    said = harness.log[-1]
    assert (said.level, said.values["event_"], said.values["attempts"]) == ("error", "3", 2)


def test_retries_come_after_pauses_that_grow_and_end_with_success() -> None:
    """What passes by itself costs nothing but time."""
    harness = sink({"retry": {"attempts": 3, "initial": 1, "then": "skip"}}, fails_first=2)
    harness.route(1, [1, 2])
    harness.route(1, [3])
    calls = harness.behaviour.calls
    assert calls == [[1, 2]]
    harness.advance(seconds=0.9)
    assert calls == [[1, 2]]
    harness.advance(seconds=0.2)
    assert calls == [[1, 2]] * 2
    harness.advance(seconds=1.8)
    assert calls == [[1, 2]] * 2, "the second pause is twice as long"
    harness.advance(seconds=0.3)
    assert calls == [[1, 2]] * 3 + [[3]], "what came meanwhile has waited"
    assert acked(harness) == 2
    assert harness.counters["skipped"] == 0


def test_after_the_last_retry_the_events_are_tried_one_by_one() -> None:
    """Three failures of the batch, one of the event: that is four attempts."""
    harness = sink({"retry": {"attempts": 2, "initial": 1, "then": "dead_letter"}}, bad=(2,))
    harness.route(1, [1, 2])
    harness.advance(seconds=10)
    assert harness.behaviour.calls == [[1, 2]] * 3 + [[1], [2]]
    (letter,) = letters(harness)
    assert letter.attempts == 4


def test_retries_may_end_in_a_restart() -> None:
    """With its own exception, and nothing acknowledged of the batch."""
    harness = sink("retry", fails_first=4)
    harness.route(1, [1, 2])
    harness.advance(seconds=10)
    assert len(harness.behaviour.calls) == 4
    assert harness.exiting is not None
    assert harness.exiting.reason == ["error", "ConnectionError: not now"]
    assert harness.acked(1) == 0


def test_by_default_the_first_failure_ends_the_stage() -> None:
    """Nothing is tried again in the same life."""
    harness = sink("restart", bad=(1,))
    harness.route(1, [1])
    assert harness.exiting is not None
    assert harness.behaviour.calls == [[1]]


def test_a_stage_that_treats_a_batch_is_busy_with_it_and_can_be_stopped() -> None:
    """Calls, infos and later batches wait; a stop does not, and nothing is acknowledged."""
    harness = sink({"retry": {"attempts": 1, "initial": 20, "then": "skip"}}, fails_first=1)
    harness.route(1, [1])
    call = harness.send_call("anybody there?")
    harness.route(1, [2])
    with pytest.raises(LookupError):
        harness.reply_to(call)
    harness.stop()
    assert harness.exiting is not None
    assert harness.exiting.reason == "shutdown"
    harness.advance(seconds=100)
    assert harness.behaviour.calls == [[1]]
    assert harness.acked(1) == 0


def test_a_stage_that_finishes_waits_for_the_batch_that_it_treats() -> None:
    """Its producers are done: the retry still comes, and then its end."""
    harness = sink({"retry": {"attempts": 1, "initial": 20, "then": "skip"}}, fails_first=1)
    harness.route(1, [1])
    harness.finish()
    harness.eos(1)
    assert harness.exiting is None
    harness.advance(seconds=21)
    assert harness.behaviour.calls == [[1], [1]]
    assert harness.exiting is not None


# --- dead letters ---------------------------------------------------------------------------------


def test_an_event_is_finished_when_its_dead_letter_is_kept_and_no_sooner() -> None:
    """Until the supervisor says so the stage takes nothing else."""
    harness = sink("dead_letter", bad=(1,))
    harness.route(1, [1])
    harness.route(1, [2])
    (letter,) = letters(harness)
    assert pickle.loads(letter.event) == 1
    assert (letter.producer, letter.attempts, letter.shown) == ("source/0", 1, "1")
    assert letter.failure["summary"] == "ValueError: no 1"
    assert "handle_events" in letter.failure["traceback"]
    assert acked(harness) == 0
    assert harness.behaviour.calls == [[1]]
    harness.order(control.DeadLetterKept(1))
    harness.order(control.DeadLetterKept(1))  # said twice, which changes nothing
    assert harness.behaviour.calls == [[1], [2]]
    assert acked(harness) == 2
    assert harness.counters["dead_lettered"] == 1


def test_what_is_made_of_the_good_events_leaves_in_order() -> None:
    """A generator fails while it is read; what it had made of the batch by then is not emitted."""
    harness = StageHarness(PickyDoubles, {"bad": (2,)}, on_error="skip")
    harness.link_to_producer(1, "source", max_demand=100)
    harness.subscribe(2, "sink")
    harness.ask(2, 100)
    harness.route(1, [1, 2, 3])
    harness.route(1, [4])
    assert list(chain.from_iterable(harness.events(2))) == [2, 6, 8]
    harness.acknowledge(2)
    assert acked(harness) == 2


def test_a_producer_consumer_takes_no_input_while_it_treats_a_batch() -> None:
    """Neither does a retry later overtake what came after it."""
    harness = StageHarness(
        PickyDoubles, {"bad": (2,)}, on_error={"retry": {"attempts": 1, "then": "dead_letter"}}
    )
    harness.link_to_producer(1, "source", max_demand=100)
    harness.subscribe(2, "sink")
    harness.ask(2, 100)
    harness.route(1, [2, 1])
    harness.route(1, [3])
    waiting = harness.machine.consuming
    assert waiting is not None
    assert len(waiting.inbound) == 1
    harness.advance(seconds=1)
    assert len(waiting.inbound) == 1
    assert harness.events(2) == []
    harness.order(control.DeadLetterKept(1))
    assert list(chain.from_iterable(harness.events(2))) == [2, 6]


class Unsendable(ProducerConsumer):
    """Makes something of each event that cannot leave the process."""

    def handle_events(self, events: list[int], subscription: Subscription) -> list[Any]:
        return [(lambda: 1) if event == 2 else event for event in events]


def test_an_event_whose_outcome_cannot_be_sent_has_failed_too() -> None:
    """The others' outcomes are not lost with it."""
    harness = StageHarness(Unsendable, on_error="skip", codec="msgpack")
    harness.link_to_producer(1, "source", max_demand=100)
    harness.subscribe(2, "sink")
    harness.ask(2, 100)
    harness.route(1, [1, 2, 3])
    assert list(chain.from_iterable(harness.events(2))) == [1, 3]
    assert harness.counters["skipped"] == 1


# --- deliveries that ended a life -----------------------------------------------------------------


def again(harness: StageHarness, event: int, attempt: int, failure: dict[str, Any]) -> None:
    """Have an event delivered another time; it was alone before."""
    harness.route_again(1, event, Attempt(attempt, alone=True, failure=failure))


@pytest.mark.parametrize("on_error", ["restart", "dead_letter"])
def test_an_event_that_ended_enough_lives_is_not_handled_again(on_error: str) -> None:
    """Three deliveries, and it is a dead letter without a fourth."""
    harness = sink(on_error, max_deliveries=3)
    again(harness, 5, 3, KILLED)
    assert harness.behaviour.calls == [[5]]
    again(harness, 6, 4, KILLED)
    assert harness.behaviour.calls == [[5]]
    (letter,) = letters(harness)
    assert (letter.attempts, letter.failure["summary"]) == (3, "killed")
    harness.route(1, [7])
    harness.order(control.DeadLetterKept(1))
    assert harness.behaviour.calls == [[5], [7]]
    assert acked(harness) == 3


def test_without_a_limit_it_is_delivered_again_and_again() -> None:
    """Then the supervisor's intensity is what ends it."""
    harness = sink("restart")
    again(harness, 5, 1000, KILLED)
    assert harness.behaviour.calls == [[5]]


def test_it_is_skipped_where_that_is_the_rule() -> None:
    """And counted."""
    harness = sink("skip", max_deliveries=2)
    again(harness, 5, 3, KILLED)
    assert harness.behaviour.calls == []
    assert harness.counters["skipped"] == 1
    assert acked(harness) == 1


class Counting(Picky):
    """Keeps a state, so that a failure ends it: a batch that is half handled is undone by that."""

    def snapshot(self) -> int:
        return len(self.calls)

    def restore(self, state: int) -> None:
        pass


def test_a_stage_with_a_state_ends_with_a_failure_and_gives_the_event_up_in_its_next_life() -> None:
    """What its predecessor raised for that event alone it would raise, too."""
    first = StageHarness(Counting, {"bad": (1,)}, on_error="skip", max_deliveries=3)
    first.link_to_producer(1, "source", max_demand=100)
    first.route(1, [1])
    assert first.exiting is not None
    second = StageHarness(Counting, {"bad": (1,)}, on_error="skip", max_deliveries=3)
    second.link_to_producer(1, "source", max_demand=100)
    again(second, 1, 2, RAISED)
    assert second.behaviour.calls == []
    assert second.counters["skipped"] == 1


@pytest.mark.parametrize(
    ("rule", "attempt", "gives_up"),
    [
        ("skip", Attempt(2, alone=True, failure=RAISED), True),
        ("skip", Attempt(2, alone=False, failure=RAISED), False),
        ("skip", Attempt(2, alone=True, failure=KILLED), False),
        ("skip", Attempt(9, alone=False, failure={}), False),
        ("skip", Attempt(4, alone=True, failure=KILLED), True),
        ("restart", Attempt(3, alone=True, failure=RAISED), False),
        ("restart", Attempt(4, alone=True, failure=RAISED), True),
        ({"retry": {"attempts": 1, "then": "skip"}}, Attempt(2, True, RAISED), False),
        ({"retry": {"attempts": 1, "then": "skip"}}, Attempt(3, True, RAISED), True),
    ],
)
def test_when_an_event_is_given_up(rule: Any, attempt: Attempt, gives_up: bool) -> None:
    """By what it raised when it was alone, or by how many lives it has ended."""
    assert OnError.of(rule).gives_up(attempt, 3) is gives_up


# --- the option -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "names"),
    [
        ("ignore", "on_error must be one of restart, retry, skip, dead_letter"),
        (None, "on_error"),
        ({"skip": {}}, "on_error"),
        ({"retry": 3}, "on_error"),
        ({"retry": {"times": 3}}, "retry must be a map with initial"),
        ({"retry": {"attempts": 0}}, "attempts must be an integer of at least 1"),
        ({"retry": {"attempts": None}}, "attempts must be an integer of at least 1"),
        ({"retry": {"then": "retry"}}, "then must be one of restart, skip, dead_letter"),
        ({"retry": {"initial": 0}}, "initial must be a number of seconds above 0"),
        ({"retry": {"initial": 5, "max": 1}}, "max must be"),
    ],
)
def test_a_bad_rule_is_refused_where_it_is_given(value: Any, names: str) -> None:
    """With the option's name, its rule and the value."""
    with pytest.raises(OptionError, match=names):
        StageOptions(on_error=value)


@pytest.mark.parametrize("count", [1, 2, 5])
@pytest.mark.parametrize("then", ["skip", "dead_letter"])
def test_whatever_fails_a_treatment_ends(count: int, then: str) -> None:
    """Each event is called alone once at most, and is over then: in all orders of outcomes."""
    for bits in range(1 << count):
        treatment = Treatment(count, OnError(then), "stage/0")
        step = treatment.failed()
        alone: list[int] = []
        given_up = []
        while step.do is not DoNext.DONE:
            assert step.last - step.first == 1
            if step.do is DoNext.GIVE_UP:
                given_up.append(step.first)
                step = treatment.given_up()
            else:
                alone.append(step.first)
                failed = bits >> step.first & 1
                step = treatment.failed() if failed else treatment.succeeded()
        assert alone == ([] if count == 1 else list(range(count)))
        assert given_up == ([0] if count == 1 else [n for n in range(count) if bits >> n & 1])
