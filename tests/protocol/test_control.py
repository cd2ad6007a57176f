"""What the supervisor and a stage say to each other; reasons; who is who."""

from __future__ import annotations

from typing import Any

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actorflow import Incarnation, StageId
from actorflow.errors import Undecodable
from actorflow.protocol import control
from actorflow.protocol.messages import Cast, Unsubscribe
from actorflow.protocol.reasons import ends_consumer, is_normal, plain
from actorflow.protocol.wire import decode, encode

RECORDS: list[control.Control] = [
    control.Link(3, "consumer", "a/0#1", {"max_demand": 5}, 2, "again"),
    control.Expect(["a/0"], ["b/0"]),
    control.ProducerFinished(3, "a/0#1", {}, "done"),
    control.ExpectNoMore(["a/0"]),
    control.Members("add", ["a", "b/1"]),
    control.Redirected(3, ["a", "b/1"]),
    control.CancelSubscription(3, ["shutdown", "x"]),
    control.PauseSubscription(3, paused=True),
    control.SetRate(3, 2.5, 4),
    control.Draining(),
    control.SetDemand("accumulate"),
    control.Finish(),
    control.Retire(True),
    control.Replicas(3),
    control.Stop("shutdown"),
    control.Ready("producer"),
    control.Established(3),
    control.SubscriptionEnded(3, "done", True),
    control.LogRecord("info", "hello", {"number": 1, "share": 0.5}),
    control.Exiting("done", {"summary": "x"}, b"result"),
    control.Snapshot(1, b"state", [{"ref": 3, "seq": 1, "edge": "a", "events": 5}], [], b"", False),
    control.SnapshotStored(1),
    control.Acknowledged(99, 1),
    control.EdgeSettled("a", 5),
    control.Suspect(99, 1, {"summary": "killed"}),
    control.Buried(99, 1),
    control.DeadLetter(1, 99, 1, "files/0", b"event", "event", 2, {"summary": "killed"}),
    control.DeadLetterKept(1),
]
"""An example of each; what is wrong in every field of it is tried in `test_fuzz_control`."""


@pytest.mark.parametrize("record", RECORDS)
def test_every_record_round_trips(record: control.Control) -> None:
    """A record is a cast of scope system, and reads back equal."""
    message = decode(encode(control.encode_control(record))[4:])
    assert isinstance(message, Cast)
    assert message.scope == control.SYSTEM
    assert control.decode_control(message) == record


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xc1",
        msgpack.packb(5),
        msgpack.packb([]),
        msgpack.packb({}),
        msgpack.packb({"do": "Nothing"}),
        msgpack.packb({"do": ["Stop"]}),
        msgpack.packb({"do": "Stop", "other": 1}),
        msgpack.packb({"do": "Link"}),
        msgpack.packb({5: 6, "do": "Stop"}),
    ],
)
def test_what_is_no_record_is_undecodable(body: bytes) -> None:
    """Whatever is wrong with it, it is one error."""
    with pytest.raises(Undecodable):
        control.decode_control(Cast(0, control.SYSTEM, "msgpack", body))


@pytest.mark.parametrize(
    ("reason", "normal"),
    [
        ("normal", True),
        ("shutdown", True),
        ("done", True),
        (["shutdown", "deploy"], True),
        (("shutdown", "deploy"), True),
        ("killed", False),
        (["error", "ValueError"], False),
        ([], False),
        (None, False),
        (5, False),
        ({"a": 1}, False),
    ],
)
def test_which_reasons_are_orderly(reason: Any, normal: bool) -> None:
    """Normal, shutdown and done are, and shutdown with a detail."""
    assert is_normal(reason) is normal
    assert ends_consumer("permanent", reason)
    assert ends_consumer("transient", reason) is not normal
    assert not ends_consumer("temporary", reason)


@pytest.mark.parametrize("reason", ["already_subscribed", ["already_subscribed", "detail"]])
def test_the_one_reason_that_never_ends_a_consumer(reason: Any) -> None:
    """Being subscribed already is no reason to end."""
    assert not any(ends_consumer(mode, reason) for mode in ("permanent", "transient", "temporary"))


deep = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.lists(inner).map(tuple) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@settings(deadline=None)
@given(deep)
def test_any_reason_becomes_one_that_travels(reason: Any) -> None:
    """Whatever a stage gives as a reason, a message with it can be sent, and is stable."""
    found = plain(reason)
    assert plain(found) == found or found != found  # noqa: PLR0124  (NaN is a number too)
    message = decode(encode(Unsubscribe(1, found))[4:])
    assert isinstance(message, Unsubscribe)


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("normal", "normal"),
        (("shutdown", "deploy"), ["shutdown", "deploy"]),
        (1.5, 1.5),
        (2**70, str(2**70)),
        (ValueError("no"), "ValueError('no')"),
        (b"x", "b'x'"),
        ("\udce9", "\udce9"),
    ],
)
def test_a_plain_reason(reason: Any, expected: Any) -> None:
    """Text, numbers and lists of them stay; of anything else the repr."""
    assert plain(reason) == expected


def test_a_reason_without_a_bottom() -> None:
    """A reason that is nested without end, or cannot be printed, is cut off and still travels."""

    class Mute:
        def __repr__(self) -> str:
            raise RuntimeError("no text")

    endless: list[Any] = []
    endless.append(endless)
    nested: Any = "bottom"
    for _ in range(5000):
        nested = [nested]
    for reason in (endless, nested, Mute(), [Mute()], "\udce9", ["\udce9"]):
        encode(Unsubscribe(1, plain(reason)))


@settings(deadline=None)
@given(st.text(), st.integers(0, 10**6), st.integers(1, 10**6))
def test_an_incarnation_reads_back(name: str, index: int, generation: int) -> None:
    """Whatever a stage is called, its incarnation's text means it."""
    child = Incarnation(StageId(name, index), generation)
    assert Incarnation.parse(str(child)) == child


@pytest.mark.parametrize("text", ["", "a", "a/0", "a#1", "a/b#1", "a/0#b", "/#"])
def test_what_is_no_incarnation(text: str) -> None:
    """Anything else is a ValueError."""
    with pytest.raises(ValueError, match=r".*"):
        Incarnation.parse(text)
