"""Somebody else's dispatcher: taken as it is, and stopped when it breaks a rule."""

from __future__ import annotations

from typing import Any

import pytest

from actorflow import (
    CannotServe,
    DemandDispatcher,
    Dispatcher,
    DispatcherError,
    OptionError,
    PartitionError,
    Refused,
    Told,
    UnfinishedBatch,
)
from actorflow.dispatch.build import build_dispatcher
from actorflow.dispatch.guard import GuardedDispatcher, guarded
from actorflow.testing.harness import StageHarness
from tests.conformance.helpers.stages import Counter, Idle
from tests.dispatch.fair import BREAKS, Fair, Queues, broken

NAME = "tests.dispatch.fair:Fair"


@pytest.mark.parametrize(
    "description", [NAME, Fair, Fair(), {NAME: {"weight": 2}}, {Fair: {"weight": 2}}, {NAME: None}]
)
def test_a_dispatcher_of_ones_own(description: Any) -> None:
    """By name, as a class or an instance, with or without options."""
    producer = StageHarness(Counter, dispatcher=description)
    for ref in (1, 2):
        producer.subscribe(ref, f"c{ref}")
        producer.ask(ref, 2)
    assert producer.events(1) + producer.events(2) == [[0], [1], [2], [3]]
    assert producer.status()["producing"]["dispatcher"] == "Fair"
    producer.hang_up(1)
    producer.down("c1")
    producer.ask(2, 3)
    assert [event for batch in producer.events(2) for event in batch] == [2, 3, 0, 1, 4]


def test_actorflows_own_have_no_guard() -> None:
    """Nothing is checked, and nothing is paid, where nothing can be wrong."""
    mine = DemandDispatcher()
    assert guarded(mine) is mine
    assert isinstance(guarded(Fair()), GuardedDispatcher)


class Elsewhere:
    """No dispatcher."""


class Half(Dispatcher):
    """Not all there."""

    @property
    def capacity(self) -> int:
        return 0


class Refuses(Fair):
    """Has a rule for its option."""

    def __init__(self, *, weight: int) -> None:
        super().__init__()
        if weight < 1:
            raise OptionError("weight", "a number from 1", weight)
        if weight == 13:
            raise RuntimeError("unlucky")


@pytest.mark.parametrize(
    ("description", "message"),
    [
        ("nowhere:Fair", "must be 'module:Class', got 'nowhere:Fair'; No module named 'nowhere'"),
        ("tests.dispatch.fair:Fairr", "has no attribute 'Fairr'"),
        ("tests.dispatch.raises:Fair", "division by zero"),
        (f"{__name__}:Elsewhere", "must be a subclass of actorflow.Dispatcher, got <class"),
        (Elsewhere, "must be a subclass of actorflow.Dispatcher, got <class"),
        ("builtins:len", "must be a subclass of actorflow.Dispatcher, got <built-in"),
        (Half, "it does not define ask, dispatch, give_back, leave, subscribe, suspend"),
        ({Fair: {"wight": 1}}, "got an unexpected keyword argument 'wight'"),
        ({f"{__name__}:Refuses": None}, "missing a required argument: 'weight'"),
        ({Refuses: {"weight": 13}}, "RuntimeError: unlucky"),
        ({Fair: {5: 1}}, "a map of one of them to its options"),
    ],
)
def test_what_is_no_dispatcher_is_refused(description: Any, message: str) -> None:
    """When it is named: it can be imported, is a dispatcher, and takes the options."""
    with pytest.raises(OptionError) as caught:
        build_dispatcher(description)
    assert caught.value.option == "dispatcher"
    assert message in str(caught.value)


def test_its_own_rule_for_an_option() -> None:
    """The constructor's refusal names the option."""
    with pytest.raises(OptionError, match="weight must be a number from 1, got 0"):
        build_dispatcher({Refuses: {"weight": 0}})


@pytest.mark.parametrize("name", BREAKS)
def test_a_broken_rule_ends_the_stage(name: str) -> None:
    """With an error that names dispatcher and rule; nothing of that answer is sent."""
    producer = StageHarness(Idle, dispatcher=broken(name))
    producer.subscribe(1, "one")
    producer.ask(1, 2)
    if producer.error is None:
        producer.cast(["a", "b"])
    assert isinstance(producer.error, DispatcherError)
    assert producer.error.dispatcher == "tests.dispatch.fair:Broken"
    assert producer.error.rule == BREAKS[name][1]
    assert producer.events(1) == []
    assert producer.exiting is not None
    assert producer.exiting.reason[0] == "error"
    assert "the dispatcher tests.dispatch.fair:Broken broke a rule" in producer.exiting.reason[1]


def test_whoever_catches_the_error_does_not_get_away() -> None:
    """Its state is not to be trusted any more: the next thing it is asked ends the stage."""

    class Careless(Idle):
        def handle_cast(self, message: Any) -> None:
            try:
                self.emit(message)
            except DispatcherError:
                return

    producer = StageHarness(Careless, dispatcher=broken("loses events"))
    producer.subscribe(1, "one")
    producer.ask(1, 2)
    producer.cast(["a", "b"])
    producer.ask(1, 1)
    assert isinstance(producer.error, DispatcherError)
    assert producer.events(1) == []


@pytest.mark.parametrize("error", [Refused("bad_option", "mine"), ZeroDivisionError("mine")])
def test_only_a_refusal_may_be_raised(error: Exception) -> None:
    """A refusal ends the subscription alone; anything else is a broken rule, with its cause."""

    class Picky(Fair):
        def subscribe(self, ref: int, consumer: str, options: Any) -> None:
            raise error

    producer = StageHarness(Idle, dispatcher=Picky)
    producer.subscribe(1, "one")
    if isinstance(error, Refused):
        assert producer.eos_reasons(1) == [["bad_option", "mine"]]
        assert producer.exiting is None
    else:
        assert isinstance(producer.error, DispatcherError)
        assert producer.error.__cause__ is error


@pytest.mark.parametrize("ref", [1, 99])
def test_one_subscription_that_cannot_be_served(ref: int) -> None:
    """`CannotServe` ends that one; for one that is not there it is a broken rule."""

    class Moody(Fair):
        def dispatch(self, events: list[Any], position: int) -> Any:
            if ref in self.credit or ref > 9:
                raise CannotServe(ref, "moody", "not today")
            return super().dispatch(events, position)

    producer = StageHarness(Idle, dispatcher=Moody)
    for each in (1, 2):
        producer.subscribe(each, f"c{each}")
        producer.ask(each, 2)
    producer.cast(["a", "b"])
    if ref == 1:
        assert producer.eos_reasons(1) == [["moody", "not today"]]
        assert producer.events(2) == [["a"], ["b"]]
    else:
        assert isinstance(producer.error, DispatcherError)


def test_an_event_that_nobody_can_have() -> None:
    """`PartitionError` is everybody's to raise."""

    class Strict(Fair):
        def dispatch(self, events: list[Any], position: int) -> Any:
            raise PartitionError("returned nothing", "a", "none")

    producer = StageHarness(Idle, dispatcher=Strict)
    producer.subscribe(1, "one")
    producer.ask(1, 1)
    producer.cast(["a"])
    assert isinstance(producer.error, PartitionError)


def test_events_that_wait_inside_are_counted() -> None:
    """One that holds events is right as long as it adds up."""
    producer = StageHarness(Idle, dispatcher=Queues)
    producer.subscribe(1, "one")
    producer.ask(1, 2)
    producer.cast(["a", "b", "c"])
    assert producer.status()["producing"]["buffered"] == 1
    producer.ask(1, 2)
    producer.cast(["d"])
    assert producer.events(1) == [["a"], ["b"], ["c"], ["d"]]
    assert producer.error is None


@pytest.mark.parametrize(
    ("attributes", "rule"),
    [
        ({"ready": lambda self: []}, None),
        ({"ready": lambda self: 5}, "ready returns a sequence"),
        ({"ready": lambda self: [Told(9, "x")]}, "only a subscription that was admitted and can"),
        ({"ready": lambda self: [(1, ["a"])]}, "a delivery is a Delivery"),
        (
            {"first_position": property(lambda self: None)},
            "first_position is the place of the oldest event that waits inside",
        ),
        (
            {"leave": lambda self, ref, successor=False: self.inside.clear()},
            "every event goes to one consumer, waits inside, or is left over",
        ),
        ({"held_events": lambda self: []}, "held_events returns a list of all the events"),
        ({"passed_marks": lambda self: ["x"]}, "passed_marks returns each token that mark has put"),
        ({"mark": lambda self, token: None}, "mark returns whether it is passed"),
        ({"tell": lambda self, token, refs: [7]}, "tell returns some of the refs"),
        ({"give_back": lambda self, ref, batches: None}, "give_back returns a list of the batches"),
        ({"give_back": lambda self, ref, batches: [1]}, "give_back returns a list of the batches"),
        (
            {"give_back": lambda self, ref, batches: [*batches, UnfinishedBatch(1, ["a"], 0)]},
            "give_back returns a list of the batches",
        ),
        ({"take_discarded": lambda self: None}, "take_discarded returns a list"),
        ({"waiting_for": lambda self, ref: -1}, "waiting_for is a number from 0"),
    ],
)
def test_every_answer_is_checked(attributes: dict[str, Any], rule: str | None) -> None:
    """All the methods, one by one."""
    dispatcher = GuardedDispatcher(type("Odd", (Queues,), attributes)())

    def use() -> None:
        for ref in (1, 2):
            dispatcher.subscribe(ref, f"c{ref}", {})
        dispatcher.ask(1, 1)
        dispatcher.dispatch(["a", "b"], 0)
        assert dispatcher.first_position == 1
        assert dispatcher.held_events() == ["b"]
        dispatcher.mark("m")
        dispatcher.tell("t", [1])
        dispatcher.waiting_for(1)
        dispatcher.describe()
        dispatcher.take_discarded()
        dispatcher.ask(1, 1)
        dispatcher.ready()
        dispatcher.passed_marks()
        dispatcher.dispatch(["c"], 2)
        dispatcher.leave(1)
        dispatcher.give_back(1, [UnfinishedBatch(1, ["a"], 0)])

    if rule is None:
        use()
        return
    with pytest.raises(DispatcherError) as caught:
        use()
    assert caught.value.rule.startswith(rule)
    with pytest.raises(DispatcherError):
        _ = dispatcher.capacity


def test_the_error_survives_its_way_to_the_program() -> None:
    """It is pickled in the stage and raised where the run is waited for."""
    import pickle

    error = pickle.loads(pickle.dumps(DispatcherError("a:B", "rule", "broken")))
    assert (error.dispatcher, error.rule, error.broken) == ("a:B", "rule", "broken")
    other = pickle.loads(pickle.dumps(CannotServe(3, "reason", "detail")))
    assert (other.ref, other.reason, other.detail) == (3, "reason", "detail")
