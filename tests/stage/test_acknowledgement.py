"""Acknowledgements: when a consumer says that it has finished, and who waits for that."""

from __future__ import annotations

from typing import Any

from actorflow.protocol.messages import Ask, RouteEos
from actorflow.stage.acknowledging import ACKNOWLEDGE_WITHIN
from actorflow.testing.harness import StageHarness
from tests.conformance.helpers.stages import Counter, Discarder, Forwarder, Same
from tests.stage.senders import flat, producer_with

# --- acknowledgements -----------------------------------------------------------------------------


def test_a_consumer_acknowledges_with_its_asks() -> None:
    """Each ask carries how far the consumer has come."""
    consumer = StageHarness(Forwarder)
    consumer.link_to_producer(1, max_demand=2, min_demand=1)
    consumer.route(1, ["a"])
    consumer.route(1, ["b"])
    assert [each for each in consumer.sent(1) if isinstance(each, Ask)] == [
        Ask(1, 2, 0),
        Ask(1, 1, 1),
        Ask(1, 1, 2),
    ]


def test_an_acknowledgement_does_not_wait_long_for_an_ask() -> None:
    """What no ask has carried leaves by itself, one for all that is finished by then."""
    consumer = StageHarness(Forwarder)
    consumer.link_to_producer(1, max_demand=10, min_demand=0)
    consumer.route(1, ["a"])
    consumer.route(1, ["b"])
    assert consumer.acked(1) == 0
    consumer.advance(ACKNOWLEDGE_WITHIN)
    assert consumer.sent(1)[-1] == Ask(1, 0, 2)
    consumer.advance(1.0)
    assert consumer.sent(1)[-1] == Ask(1, 0, 2)


def test_a_message_is_acknowledged_after_its_last_batch() -> None:
    """Asks between the batches of a message do not acknowledge it."""
    consumer = StageHarness(Forwarder)
    consumer.link_to_producer(1, max_demand=4, min_demand=2)
    consumer.route(1, range(4))
    assert [each for each in consumer.sent(1) if isinstance(each, Ask)] == [
        Ask(1, 4, 0),
        Ask(1, 2, 0),
        Ask(1, 2, 1),
    ]


def test_a_failing_consumer_acknowledges_nothing_more() -> None:
    """Those that are finished are acknowledged at once, the one that raised is not."""

    class Fails(Forwarder):
        def handle_events(self, events: list[Any], subscription: Any) -> None:
            if events == ["bad"]:
                raise ValueError(events)

    consumer = StageHarness(Fails)
    consumer.link_to_producer(1, max_demand=4, min_demand=0)
    consumer.route(1, ["fine"])
    assert consumer.acked(1) == 0
    consumer.route(1, ["bad"])
    assert isinstance(consumer.error, ValueError)
    assert consumer.acked(1) == 1


def chain(behaviour: Any = Same) -> StageHarness:
    """A producer-consumer with a producer (1) and a consumer (2) that the test plays."""
    middle = StageHarness(behaviour)
    middle.link_to_producer(1, max_demand=100, min_demand=0)
    middle.subscribe(2, "sink")
    middle.ask(2, 100)
    return middle


def test_an_acknowledgement_passes_through_a_producer_consumer() -> None:
    """An input is acknowledged when everything made from it has been acknowledged downstream."""
    middle = chain()
    middle.route(1, ["a", "b"])
    middle.route(1, ["c"])
    middle.advance(1.0)
    assert middle.acked(1) == 0
    middle.acknowledge(2, 1)
    middle.advance(1.0)
    assert middle.acked(1) == 1
    middle.acknowledge(2, 2)
    middle.advance(1.0)
    assert middle.acked(1) == 2


def test_a_filter_acknowledges_at_once() -> None:
    """An input that nothing was made from is finished when it is handled."""
    middle = chain(Discarder)
    middle.route(1, ["a"])
    middle.advance(ACKNOWLEDGE_WITHIN)
    assert middle.acked(1) == 1


def test_an_input_is_open_while_an_output_waits() -> None:
    """Outputs in the buffer, or without a consumer, keep their input unfinished."""
    middle = StageHarness(Same)
    middle.link_to_producer(1, max_demand=100, min_demand=0)
    middle.subscribe(2, "sink")
    middle.ask(2, 1)
    middle.route(1, ["a", "b"])
    middle.acknowledge(2, 1)
    middle.advance(1.0)
    assert middle.acked(1) == 0
    middle.ask(2, 1)
    middle.acknowledge(2, 2)
    middle.advance(1.0)
    assert middle.acked(1) == 1


def test_an_input_is_open_while_an_output_is_sent_again() -> None:
    """A consumer that dies with an output in hand does not finish the input; its successor does."""
    middle = chain()
    middle.route(1, ["a"])
    middle.down("sink#1", restarting=True)
    middle.advance(1.0)
    assert middle.acked(1) == 0
    middle.subscribe(3, "sink#2")
    middle.ask(3, 10)
    middle.acknowledge(3)
    middle.advance(1.0)
    assert middle.acked(1) == 1


def test_an_older_output_in_another_consumers_hands_keeps_its_input_open() -> None:
    """An output that was sent again behind a newer one is not forgotten."""
    middle = StageHarness(Same)
    middle.link_to_producer(1, max_demand=100, min_demand=0)
    middle.subscribe(2, "one")
    middle.ask(2, 1)
    middle.route(1, ["a"])
    middle.subscribe(3, "two")
    middle.ask(3, 10)
    middle.route(1, ["b"])
    middle.down("one")
    assert middle.events(3) == [["b"], ["a"]]
    middle.advance(1.0)
    assert middle.acked(1) == 0
    middle.acknowledge(3, 1)
    middle.advance(1.0)
    assert middle.acked(1) == 0
    middle.acknowledge(3, 2)
    middle.advance(1.0)
    assert middle.acked(1) == 2


# --- the end --------------------------------------------------------------------------------------


def test_a_finishing_producer_waits_for_its_acknowledgements() -> None:
    """Only when all is finished do the consumers get done, and the stage ends."""
    producer = producer_with(["a"], ["b"])
    producer.finish()
    assert (producer.eos_reasons(1), producer.exiting) == ([], None)
    producer.acknowledge(1, 1)
    assert (producer.eos_reasons(1), producer.exiting) == ([], None)
    producer.acknowledge(1, 2)
    assert producer.sent(1)[-1] == RouteEos(1, "done")
    assert producer.exiting is not None
    assert producer.exiting.reason == "done"


def test_a_finishing_producer_waits_for_a_successor() -> None:
    """Its consumer dies with the last batch in hand: the successor gets it, then done."""
    producer = producer_with(["last"])
    producer.finish()
    producer.down("one#1", restarting=True)
    assert producer.exiting is None
    producer.subscribe(2, "one#2")
    producer.ask(2, 1)
    producer.acknowledge(2)
    assert producer.eos_reasons(2) == ["done"]
    assert producer.exiting is not None


def test_a_finishing_producer_does_not_wait_for_one_that_is_gone() -> None:
    """A consumer that does not come back, and had nothing unfinished, is not waited for."""
    producer = producer_with(["a"])
    producer.acknowledge(1)
    producer.finish()
    assert producer.exiting is not None
    producer = producer_with(["a"])
    producer.down("one#1", restarting=True)
    producer.finish()
    producer.subscribe(2, "two")
    producer.ask(2, 1)
    producer.acknowledge(2)
    assert producer.exiting is None
    producer.down("one#2", restarting=False)
    assert producer.exiting is not None


def test_a_finishing_source_is_asked_for_nothing_more() -> None:
    """Demand that was passed on before is not met any more either."""

    class Ends(Counter):
        def handle_demand(self, demand: int) -> Any:
            self.finish()
            return super().handle_demand(demand)

    producer = StageHarness(Ends)
    producer.autorun = False
    producer.subscribe(1, "one")
    producer.subscribe(2, "two")
    producer.run()
    producer.ask(1, 3)
    producer.ask(2, 3)
    producer.run()
    assert producer.calls("handle_demand") == [(3,)]
    assert flat(producer.events(1) + producer.events(2)) == [0, 1, 2]


def test_a_finishing_producer_consumer_passes_everything_on() -> None:
    """When its producers are done it handles what waits, and ends when that is acknowledged."""
    middle = StageHarness(Same)
    middle.link_to_producer(1, max_demand=10, min_demand=0)
    middle.route(1, ["a", "b"])
    middle.eos(1, "done")
    assert middle.exiting is None
    middle.subscribe(2, "sink")
    middle.ask(2, 10)
    assert middle.events(2) == [["a", "b"]]
    assert middle.exiting is None
    middle.acknowledge(2)
    assert middle.acked(1) == 1
    assert middle.eos_reasons(2) == ["done"]
    assert middle.exiting is not None


def test_a_consumer_waits_for_all_its_producers() -> None:
    """A permanent consumer ends with the last of the streams that it was told to expect."""
    consumer = StageHarness(Forwarder)
    consumer.expect("one/0", "two/0")
    consumer.link_to_producer(1, "one", max_demand=2)
    consumer.eos(1, "done")
    assert consumer.exiting is None
    consumer.link_to_producer(2, "two", max_demand=2)
    consumer.route(2, ["a"])
    consumer.eos(2, "done")
    assert consumer.behaviour.batches == [["a"]]
    assert consumer.acked(2) == 1
    assert consumer.exiting is not None
    assert consumer.exiting.reason == "done"


def test_what_waited_for_its_partition_is_finished_when_it_leaves_at_most_once() -> None:
    """Nobody will acknowledge it, and its input would stay unfinished for ever."""
    options = {"dispatcher": {"partition": {"partitions": 1}}, "delivery": "at_most_once"}
    forwarder = StageHarness(Same, **options)
    forwarder.link_to_producer(1, max_demand=10)
    forwarder.subscribe(2, "only", partition=0)
    forwarder.ask(2, 1)
    forwarder.route(1, ["a", "b", "c"])
    forwarder.advance(ACKNOWLEDGE_WITHIN)
    assert (flat(forwarder.events(2)), forwarder.acked(1)) == (["a"], 0)
    forwarder.ask(2, 5)
    forwarder.advance(ACKNOWLEDGE_WITHIN)
    assert (flat(forwarder.events(2)), forwarder.acked(1)) == (["a", "b", "c"], 1)
