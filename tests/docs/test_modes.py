"""A29: every mode that the code accepts is on one page, and nothing else is."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import pytest

from actorflow import (
    OptionError,
    ProducerConsumer,
    StageOptions,
    SubscriptionOptions,
)
from actorflow.protocol.codec import CODECS
from actorflow.protocol.reasons import CANCEL_MODES
from actorflow.stage.answers import Answer
from actorflow.stage.options import (
    DELIVERY_MODES,
    DEMAND_MODES,
    KEEP_MODES,
    NO_CONSUMERS,
    SUBSCRIPTION_MODES,
)
from actorflow.testing.harness import StageHarness
from tests.conformance.helpers.stages import Forwarder, Idle
from tests.docs.pages import ROOT

PAGE = (ROOT / "docs" / "modes.md").read_text(encoding="utf-8")

ACCEPTED: Mapping[str, tuple[str, ...]] = {
    "A producer: `demand`": DEMAND_MODES,
    "A producer-consumer: the answers of `handle_demand`": tuple(each.name for each in Answer),
    "A full buffer: `buffer_keep`": KEEP_MODES,
    "Nobody there: `when_no_consumers`": NO_CONSUMERS,
    "A subscription: who asks": SUBSCRIPTION_MODES,
    "A subscription: `cancel`": CANCEL_MODES,
    "A stage: `delivery`": DELIVERY_MODES,
    "A stage: `codec`": CODECS,
}


def tables() -> dict[str, list[str]]:
    """The modes of each heading's table."""
    _, *parts = re.split(r"^## ", PAGE, flags=re.MULTILINE)
    found = {}
    for part in parts:
        heading, _, text = part.partition("\n")
        found[heading] = re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)
    return found


def test_a29_the_page_has_every_mode_and_no_other() -> None:
    """Each table lists what the code accepts there, each mode once."""
    assert {heading: sorted(modes) for heading, modes in tables().items()} == {
        heading: sorted(modes) for heading, modes in ACCEPTED.items()
    }


def test_a29_the_defaults_of_the_page_are_those_that_hold() -> None:
    """What the page calls the default is the default."""
    options, subscription = StageOptions(), SubscriptionOptions()
    defaults = {
        options.demand,
        options.buffer_keep,
        options.when_no_consumers,
        "automatic",
        subscription.cancel,
        options.delivery,
        options.codec,
    }
    assert set(re.findall(r"^\| `(\w+)` \|.*\(default\) \|$", PAGE, re.MULTILINE)) == defaults


OPTIONS = {
    "demand": DEMAND_MODES,
    "buffer_keep": KEEP_MODES,
    "when_no_consumers": NO_CONSUMERS,
    "delivery": DELIVERY_MODES,
    "codec": CODECS,
}


@pytest.mark.parametrize("option", OPTIONS)
def test_a29_the_lists_are_what_options_accept(option: str) -> None:
    """Each mode of a list is accepted, and the refusal of another names them all."""
    for mode in OPTIONS[option]:
        assert getattr(StageOptions(**{option: mode}), option) == mode
    with pytest.raises(OptionError) as caught:
        StageOptions(**{option: "sideways"})
    assert all(mode in caught.value.rule for mode in OPTIONS[option])


@pytest.mark.parametrize("mode", CANCEL_MODES)
def test_a29_cancel_modes_are_accepted(mode: str) -> None:
    """And another is refused."""
    assert SubscriptionOptions(cancel=mode).cancel == mode
    with pytest.raises(OptionError):
        SubscriptionOptions(cancel="sideways")


@pytest.mark.parametrize("mode", [*SUBSCRIPTION_MODES, None, "sideways"])
def test_a29_subscription_modes_are_accepted(mode: Any) -> None:
    """From `handle_subscribe` of a consumer; anything else ends it with an error."""
    consumer = StageHarness(
        type("Answers", (Forwarder,), {"handle_subscribe": lambda *_: mode}), autorun=True
    )
    consumer.link_to_producer(1, max_demand=3)
    assert (consumer.error is None) == (mode != "sideways")
    assert consumer.asks(1) == ([3] if mode in ("automatic", None) else [])


@pytest.mark.parametrize("mode", [*DEMAND_MODES, "sideways"])
def test_a29_demand_modes_can_be_set(mode: str) -> None:
    """While a producer runs."""
    producer = StageHarness(Idle)
    if mode in DEMAND_MODES:
        producer.behaviour.set_demand(mode)
        assert producer.status()["producing"]["demand"] == mode
    else:
        with pytest.raises(OptionError):
            producer.behaviour.set_demand(mode)


@pytest.mark.parametrize("answer", list(Answer))
def test_a29_the_answers_are_accepted(answer: Answer) -> None:
    """Each by a producer-consumer with a `handle_demand`."""
    methods = {"handle_demand": lambda *_: answer, "handle_events": lambda *_: None}
    middle = StageHarness(type("Answers", (ProducerConsumer,), methods))
    middle.subscribe(1)
    middle.ask(1, 1)
    assert middle.error is None
