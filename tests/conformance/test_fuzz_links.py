"""B15, B16 and scenario 111: every message between stages, wrong in every way, from one bad peer.

The stage goes on, its other peers get exactly the frames that they would have got, and the sender
is told which rule it broke.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actorflow.protocol.messages import (
    Ask,
    Call,
    Cast,
    Down,
    Info,
    Notify,
    Reply,
    Route,
    RouteAgain,
    RouteEos,
    RouteLast,
    Subscribe,
    Unsubscribe,
)
from tests.conformance.helpers.conversation import (
    BAD_CONSUMER,
    BAD_NEWCOMER,
    BAD_PRODUCER,
    PARTITION,
    Conversation,
)
from tests.conformance.helpers.fuzz import (
    MESSAGES,
    RULES,
    Fuzzed,
    mutations,
    truncations,
    wire,
)
from tests.seeds import examples, sample

FROM_CONSUMERS = (Subscribe, Ask, Unsubscribe)
FROM_PRODUCERS = (Route, RouteAgain, RouteEos, RouteLast, Notify)
FROM_SUPERVISORS = (Call, Cast, Info, Reply, Down)

CASES = [
    ("producer", BAD_CONSUMER),
    ("producer", BAD_NEWCOMER),
    ("producer_consumer", BAD_CONSUMER),
    ("producer_consumer", BAD_NEWCOMER),
    ("producer_consumer", BAD_PRODUCER),
    ("consumer", BAD_NEWCOMER),
    ("consumer", BAD_PRODUCER),
]

UNDISTURBED: dict[tuple[str, str], list[Any]] = {}


def undisturbed(kind: str, dispatcher: Any = "demand") -> list[Any]:
    """What the healthy peers get from a stage that nobody disturbs."""
    key = kind, str(dispatcher)
    if key not in UNDISTURBED:
        conversation = Conversation(kind, dispatcher)
        conversation.begin()
        conversation.go_on()
        UNDISTURBED[key] = conversation.healthy()
    return UNDISTURBED[key]


TAKES = {
    Subscribe: BAD_NEWCOMER,
    **dict.fromkeys((Ask, Unsubscribe), BAD_CONSUMER),
    **dict.fromkeys(FROM_PRODUCERS, BAD_PRODUCER),
}
"""On which link each message finds who takes it."""


def must_be_refused(fuzzed: Fuzzed, kind: str, link: int) -> frozenset[str]:
    """How a message must be refused by this kind of stage; empty when it may be taken."""
    if fuzzed.reasons:
        return fuzzed.reasons
    if fuzzed.kind in FROM_SUPERVISORS:
        return frozenset({"unknown_message"})
    if kind == "consumer" and fuzzed.kind in FROM_CONSUMERS:
        return frozenset({"not_a_producer"})
    if kind == "producer" and fuzzed.kind in (Route, RouteAgain, Notify):
        return frozenset({"not_a_consumer"})
    if fuzzed.field == "ref":
        return frozenset()  # of another subscription
    return fuzzed.deeper if link == TAKES[fuzzed.kind] else frozenset()


def harmless(fuzzed: Fuzzed, kind: str) -> bool:
    """Whether a message that is taken changes nothing for the sender's siblings, rightly.

    One that asks takes its share of the events, and events that are routed are handed on.
    """
    routed = fuzzed.kind in (Route, RouteAgain)
    return not (routed or fuzzed.kind is Ask) or (kind == "consumer" and not routed)


def name_of(reason: Any) -> Any:
    """A refusal's name; a detail may stand behind it."""
    if isinstance(reason, list):
        assert len(reason) == 2
        assert type(reason[1]) is str
        assert reason[1]
        return reason[0]
    return reason


def try_out(fuzzed: Fuzzed, kind: str, link: int) -> None:
    """Send it in the middle of a conversation, and judge what becomes of that."""
    conversation = Conversation(kind)
    conversation.begin()
    stage = conversation.stage
    errors = stage.counters["protocol_errors"]
    reasons = conversation.answers(link, lambda: stage.receive(link, fuzzed.data))
    assert conversation.lives()
    expected = must_be_refused(fuzzed, kind, link)
    if expected:
        assert [name_of(reason) for reason in reasons] in [[each] for each in expected]
        assert stage.counters["protocol_errors"] == errors + 1
        assert stage.log[-1].level == "error"
    conversation.go_on()
    assert conversation.lives()
    if expected or harmless(fuzzed, kind):
        assert conversation.healthy() == undisturbed(kind)


def test_s111_every_message_has_its_rules() -> None:
    """A message, or a field, that is new is fuzzed once its rule is written down."""
    assert set(RULES) == set(MESSAGES)
    for kind in MESSAGES:
        assert set(RULES[kind]) == {field.name for field in fields(kind)}
    assert {*FROM_CONSUMERS, *FROM_PRODUCERS, *FROM_SUPERVISORS} == set(MESSAGES)


@pytest.mark.parametrize(("kind", "link"), CASES)
@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: message.__name__)
def test_s111_b16_every_field_of_every_message(message: type, kind: str, link: int) -> None:
    """Wrong types, ranges, numbers of fields, repetitions and orders, about the peer's own ref."""
    for fuzzed in sample(mutations(message, ref=link)):
        try_out_named(fuzzed, kind, link)


def try_out_named(fuzzed: Fuzzed, kind: str, link: int) -> None:
    """As `try_out`; what fails says with which message."""
    try:
        try_out(fuzzed, kind, link)
    except Exception as error:
        error.add_note(f"{fuzzed} to a {kind} on link {link}")
        raise


@pytest.mark.parametrize(("kind", "link"), CASES)
@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: message.__name__)
def test_s111_every_message_cut_off(message: type, kind: str, link: int) -> None:
    """After each of its bytes."""
    for fuzzed in sample(truncations(message, ref=link)):
        try_out_named(fuzzed, kind, link)


@pytest.mark.parametrize(("kind", "link"), CASES)
@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: message.__name__)
def test_s111_messages_about_another_peers_subscription(
    message: type, kind: str, link: int
) -> None:
    """Right or wrong, they change nothing for the peer whose subscription it is."""
    theirs = 11 if link == BAD_PRODUCER else 1
    for fuzzed in sample(mutations(message, ref=theirs)):
        if fuzzed.field != "ref":
            try_out_about_another(fuzzed, kind, link)


def try_out_about_another(fuzzed: Fuzzed, kind: str, link: int) -> None:
    """Send it; it must come back as somebody else's business, or as broken."""
    conversation = Conversation(kind)
    conversation.begin()
    stage = conversation.stage
    stage.receive(link, fuzzed.data)
    conversation.go_on()
    assert conversation.lives(), fuzzed
    assert conversation.healthy() == undisturbed(kind), fuzzed


def right_but_rude(ref: int) -> list[Fuzzed]:
    """Right messages, that come at any time: repeated, in the wrong order, on the wrong link."""
    return [
        Fuzzed(kind, "right", None, msgpack.packb(wire(kind, ref)))
        for kind in (Subscribe, Unsubscribe, RouteEos, Notify)
    ]


CATALOGUE = {
    link: [
        *right_but_rude(link),
        *right_but_rude(1),
        *right_but_rude(11),
        *(
            fuzzed
            for message in MESSAGES
            for ref in (link, 1, 11, 99)
            for fuzzed in (*mutations(message, ref), *truncations(message, ref))
            if fuzzed.reasons
        ),
    ]
    for link in (BAD_CONSUMER, BAD_NEWCOMER, BAD_PRODUCER)
}
"""What may be sent on each link, in any number and order, and must change nothing for others."""


@settings(deadline=None, max_examples=examples(60))
@given(
    case=st.sampled_from(CASES),
    dispatcher=st.sampled_from(["demand", PARTITION]),
    data=st.data(),
)
def test_s111_any_sequence_of_them(case: tuple[str, int], dispatcher: Any, data: Any) -> None:
    """In any order, before, between and behind what the healthy peers say."""
    kind, link = case
    catalogue = st.lists(st.sampled_from(CATALOGUE[link]), max_size=8)
    conversation = Conversation(kind, dispatcher)
    for go_on in (conversation.begin, conversation.go_on):
        for fuzzed in data.draw(catalogue):
            conversation.stage.receive(link, fuzzed.data)
        go_on()
    for fuzzed in data.draw(catalogue):
        conversation.stage.receive(link, fuzzed.data)
    conversation.stage.hang_up(link)
    assert conversation.lives()
    assert conversation.healthy() == undisturbed(kind, dispatcher)


@settings(deadline=None, max_examples=examples(150))
@given(
    case=st.sampled_from(CASES),
    garbage=st.lists(
        st.binary(max_size=40)
        | st.recursive(
            st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.binary(max_size=4),
            lambda inner: st.lists(inner, max_size=5),
            max_leaves=8,
        ).map(msgpack.packb),
        max_size=6,
    ),
)
def test_s111_any_bytes(case: tuple[str, int], garbage: list[bytes]) -> None:
    """Bytes that nobody would call a message."""
    kind, link = case
    conversation = Conversation(kind)
    conversation.begin()
    for data in garbage:
        conversation.stage.receive(link, data)
    conversation.go_on()
    assert conversation.lives()
    assert conversation.healthy() == undisturbed(kind)


@pytest.mark.parametrize("kind", ["producer", "producer_consumer"])
@pytest.mark.parametrize("message", FROM_CONSUMERS, ids=lambda message: message.__name__)
def test_s111_a_broadcast_goes_on_without_the_one_that_broke_a_rule(
    message: type, kind: str
) -> None:
    """Who is refused holds nobody up: all is as if it had left in order at that moment."""
    left = Conversation(kind, "broadcast")
    left.begin()
    left.stage.unsubscribe(BAD_CONSUMER)
    left.go_on()
    for fuzzed in sample(mutations(message, ref=BAD_CONSUMER)):
        if not fuzzed.reasons or fuzzed.field in ("ref", "reversed", "rotated"):
            continue  # it may be taken, or names another subscription
        conversation = Conversation(kind, "broadcast")
        conversation.begin()
        conversation.stage.receive(BAD_CONSUMER, fuzzed.data)
        conversation.go_on()
        assert conversation.lives(), fuzzed
        assert conversation.healthy() == left.healthy(), fuzzed
