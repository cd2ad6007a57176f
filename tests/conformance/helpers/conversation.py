"""A stage in conversation with healthy peers, while another one sends it whatever it likes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from actorflow.protocol import control
from actorflow.protocol.messages import Message, RouteEos, Unsubscribe
from actorflow.stage.behaviour import Stage
from actorflow.testing.harness import StageHarness
from tests.conformance.helpers.stages import Forwarder, Idle, Same

__all__ = ["BAD_CONSUMER", "BAD_NEWCOMER", "BAD_PRODUCER", "KINDS", "Conversation"]

GOOD_CONSUMERS = (1, 2)
GOOD_PRODUCERS = (11, 12)
BAD_CONSUMER, BAD_NEWCOMER, BAD_PRODUCER = 3, 4, 13
"""Links: of a consumer that has subscribed, of one that has not yet, of a producer."""

PARTITION = {"partition": {"partitions": 3, "by": f"{__name__}:first_two"}}


def first_two(event: Any) -> int:
    """A partition function; the third partition is the bad consumer's, and gets nothing."""
    return len(str(event)) % 2


class _Patient:
    """Takes every message that the supervisor's side may send."""

    def handle_call(self, request: Any, sender: Any) -> str:
        return "here"

    def handle_info(self, message: Any) -> None:
        return None


class PatientProducer(_Patient, Idle):
    """Emits what it is cast when that is a list."""

    def handle_cast(self, message: Any) -> list[Any]:
        return message if isinstance(message, list) else []


class PatientBetween(_Patient, Same):
    """Emits what it takes."""

    def handle_cast(self, message: Any) -> None:
        return None


class PatientConsumer(_Patient, Forwarder):
    """Keeps every batch."""

    def handle_cast(self, message: Any) -> None:
        return None


KINDS: dict[str, type[Stage]] = {
    "producer": PatientProducer,
    "producer_consumer": PatientBetween,
    "consumer": PatientConsumer,
}


class Conversation:
    """One stage, two healthy peers on each side that it has, and one bad one on each side.

    Args:
        kind: one of `KINDS`.
        dispatcher: the stage's, where it produces.
    """

    def __init__(self, kind: str, dispatcher: Any = "demand") -> None:
        self.stage = stage = StageHarness(KINDS[kind], dispatcher=dispatcher)
        self.produces, self.consumes = kind != "consumer", kind != "producer"
        if self.produces:
            for partition, ref in enumerate((*GOOD_CONSUMERS, BAD_CONSUMER)):
                stage.subscribe(ref, f"consumer/{ref}", partition=partition)
        stage.order(control.Link(BAD_NEWCOMER, "producer", f"newcomer/{BAD_NEWCOMER}#1"))
        if self.consumes:
            for ref in (*GOOD_PRODUCERS, BAD_PRODUCER):
                options: dict[str, Any] = {"max_demand": 4, "min_demand": 2, "cancel": "temporary"}
                stage.link_to_producer(ref, f"producer/{ref}", **options)

    def begin(self) -> None:
        """The healthy peers talk with the stage, and something is left under way."""
        stage = self.stage
        if self.produces:
            stage.ask(1, 3)
            stage.ask(2, 2)
        if self.consumes:
            stage.route(11, ["a", "bb", "c"])
            stage.route(12, ["dd"])
        else:
            stage.cast(["a", "bb", "c", "dd"])

    def go_on(self) -> None:
        """They go on, to the end."""
        stage = self.stage
        if self.produces:
            stage.acknowledge(1)
            stage.ask(1, 5)
            stage.ask(2, 5)
        if self.consumes:
            stage.route(12, ["e", "ff"])
            stage.notify(11, "news")
            stage.route(11, ["g"])
            stage.eos(12)
        else:
            stage.cast(["e", "ff", "g"])
        if self.produces:
            stage.acknowledge(1)
            stage.acknowledge(2)
            stage.unsubscribe(2)
        if self.consumes:
            stage.cancel(11)

    def healthy(self) -> list[list[Message]]:
        """All that the stage sent to its healthy peers."""
        return [self.stage.sent(link) for link in (*GOOD_CONSUMERS, *GOOD_PRODUCERS)]

    def lives(self) -> bool:
        """Whether the stage runs and answers."""
        stage = self.stage
        return (stage.error, stage.exiting) == (None, None) and stage.call("there?") == "here"

    def answers(self, link: int, act: Callable[[], None]) -> list[Any]:
        """The reasons that come back on a link for what is done."""
        before = len(self.stage.sent(link))
        act()
        news = self.stage.sent(link)[before:]
        return [each.reason for each in news if isinstance(each, RouteEos | Unsubscribe)]
