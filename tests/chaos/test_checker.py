"""The offline checker: each law against a history that keeps it, and one that does not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest

from actorflow.dispatch.hashing import stable_hash
from tests.chaos.checker import Violation, check
from tests.chaos.history import ACKED, DONE, EMITTED, TAKEN, HistoryFile, Life, Record
from tests.chaos.history import read_histories as read
from tests.chaos.shapes import Part, Shape, Take, derived, made_by, random_shape


def shape(
    delivery: str = "at_least_once", dispatcher: str = "demand", replicas: int = 1, count: int = 2
) -> Shape:
    """A source and a sink."""
    mode = delivery if delivery == "exactly_once" else "mixed"
    source = Part("s", "source", delivery=delivery, dispatcher=dispatcher, count=count)
    return Shape(mode, (source, Part("c", "sink", replicas=replicas, takes=(Take("s"),))))


def chain(delivery: str = "at_least_once") -> Shape:
    """A source, a stage that makes one of each, and a sink."""
    mode = delivery if delivery == "exactly_once" else "mixed"
    return Shape(
        mode,
        (
            Part("s", "source", delivery=delivery, count=1),
            Part("p", "through", delivery=delivery, takes=(Take("s"),)),
            Part("c", "sink", takes=(Take("p"),)),
        ),
    )


def lives(*said: tuple[str, str, str]) -> list[Life]:
    """Histories from ``(life, kind, events)``, in the order of time; ``c/0`` may live twice."""
    found: dict[str, Life] = {}
    for moment, (who, what, events) in enumerate(said):
        stage = who.partition("#")[0]
        part, _, index = stage.partition("/")
        life = found.setdefault(who, Life(part, int(index)))
        kind, _, peer = what.partition(" ")
        life.records.append(Record(moment, kind, peer, tuple(events.split())))
    return list(found.values())


def laws(found: list[Violation]) -> set[str]:
    """Which laws are broken."""
    return {violation.law for violation in found}


BOTH = "s/0:0 s/0:1"
GOOD = [
    ("s/0", EMITTED, BOTH),
    ("c/0", TAKEN, BOTH),
    ("c/0", DONE, BOTH),
    ("s/0", f"{ACKED} c/0", BOTH),
]
RESULTS = {"c": BOTH.split()}


@pytest.mark.parametrize("delivery", ["at_least_once", "at_most_once", "exactly_once"])
def test_a_good_history_breaks_no_law(delivery: str) -> None:
    """Of any mode."""
    assert check(shape(delivery), lives(*GOOD), RESULTS) == []


def test_an_event_that_nobody_handled_is_lost() -> None:
    """Though it was taken."""
    history = lives(("s/0", EMITTED, BOTH), ("c/0", TAKEN, BOTH), ("c/0", DONE, "s/0:0"))
    assert check(shape(), history, {}) == [Violation("lost", "s", ("s/0:1",), 1)]
    assert check(shape("at_most_once"), history, {}) == []


def test_what_was_made_of_an_event_is_lost_with_it() -> None:
    """The source answers for it to the end of the chain."""
    made = "s/0:0>p.0"
    history = [("s/0", EMITTED, "s/0:0"), ("p/0", TAKEN, "s/0:0"), ("p/0", EMITTED, made)]
    history += [("p/0", DONE, "s/0:0")]
    assert laws(check(chain(), lives(*history), {})) == {"lost"}
    history += [("c/0", TAKEN, made), ("c/0", DONE, made)]
    assert check(chain(), lives(*history), {}) == []


def test_a_broadcast_loses_what_one_consumer_did_not_handle() -> None:
    """Another replica's work does not count for it."""
    both = shape(dispatcher="broadcast", replicas=2)
    assert laws(check(both, lives(*GOOD), {})) == {"lost"}
    assert check(shape(replicas=2), lives(*GOOD), {}) == []


def test_a_repetition_is_at_least_once_and_not_at_most_once() -> None:
    """In the same life or the next."""
    again = lives(*GOOD, ("c/0#2", TAKEN, "s/0:1"), ("c/0#2", DONE, "s/0:1"))
    assert check(shape(), again, {}) == []
    assert check(shape("at_most_once"), again, {}) == [
        Violation("repeated", "s > s", ("s/0:1",), 1)
    ]


def test_each_replica_of_a_broadcast_may_have_an_event_once() -> None:
    """That is no repetition; twice in one of them is."""
    both = shape("at_most_once", dispatcher="broadcast", replicas=2)
    other = [("c/1", TAKEN, BOTH), ("c/1", DONE, BOTH)]
    assert check(both, lives(*GOOD, *other), {}) == []
    assert laws(check(both, lives(*GOOD, *other, *other), {})) == {"repeated", "out of order"}


def test_the_order_of_emission_is_kept_at_most_once() -> None:
    """From one life of a producer to one of a consumer."""
    history = lives(("s/0", EMITTED, BOTH), ("c/0", TAKEN, "s/0:1 s/0:0"))
    assert laws(check(shape("at_most_once"), history, {})) == {"out of order"}
    two = lives(("s/0", EMITTED, BOTH), ("c/0", TAKEN, "s/0:1"), ("c/0#2", TAKEN, "s/0:0"))
    assert check(shape("at_most_once"), two, {}) == []


@pytest.mark.parametrize(
    ("counted", "law"),
    [
        (["s/0:0"], "not counted"),
        (["s/0:0", "s/0:1", "s/0:1"], "counted twice"),
        (None, "not counted"),
    ],
)
def test_a_state_counts_each_event_once(counted: Any, law: str) -> None:
    """What was handled and not kept, or kept twice, shows in the state alone."""
    assert laws(check(shape("exactly_once"), lives(*GOOD), {"c": counted})) == {law}


def test_states_are_followed_through_a_chain() -> None:
    """What a stage has counted is what its consumers are to count, made into what it makes."""
    exact = chain("exactly_once")
    right = {"p": ["s/0:0"], "c": ["s/0:0>p.0"]}
    assert check(exact, [], right) == []
    assert laws(check(exact, [], {**right, "c": []})) == {"not counted"}
    assert laws(check(exact, [], {**right, "p": ["s/0:0"] * 2})) == {"counted twice", "not counted"}
    stateless = Shape(
        exact.mode, (exact.parts[0], replace(exact.parts[1], keeps=False), exact.parts[2])
    )
    assert check(stateless, [], right) == []
    assert laws(check(stateless, [], {"c": []})) == {"not counted"}


def test_an_acknowledgement_comes_after_what_it_says() -> None:
    """Also when in the end all is well."""
    early = [GOOD[0], GOOD[3], GOOD[1], GOOD[2]]
    assert laws(check(shape(), lives(*early), {})) == {"acknowledged and not finished"}
    made = "s/0:0>p.0"
    history = [
        ("s/0", EMITTED, "s/0:0"),
        ("p/0", TAKEN, "s/0:0"),
        ("p/0", EMITTED, made),
        ("p/0", DONE, "s/0:0"),
        ("s/0", f"{ACKED} p/0", "s/0:0"),
        ("c/0", TAKEN, made),
        ("c/0", DONE, made),
    ]
    assert laws(check(chain(), lives(*history), {})) == {"acknowledged and not finished"}
    good = [*history[:4], *history[5:], history[4]]
    assert check(chain(), lives(*good), {}) == []


def test_nothing_comes_from_nowhere() -> None:
    """Nor before it was emitted, nor from a stage that it does not take from."""
    law = "handled and never emitted"
    assert laws(check(shape(), lives(GOOD[1], GOOD[2], GOOD[0]), {})) == {law}
    history = lives(*GOOD, ("c/0", TAKEN, "s/0:7"))
    assert laws(check(shape("at_most_once"), history, {})) == {law}
    strange = lives(*GOOD, ("x/0", EMITTED, "x/0:0"), ("c/0", TAKEN, "x/0:0"))
    whole = Shape("mixed", (*shape("at_most_once").parts, Part("x", "sink")))
    assert laws(check(whole, strange, {})) == {"handled and not subscribed to"}


def test_a_partition_takes_its_own() -> None:
    """And no other's."""
    partitioned = shape("at_most_once", dispatcher="partition", replicas=2)
    index = stable_hash("s/0:0") % 2
    right = lives(("s/0", EMITTED, BOTH), (f"c/{index}", TAKEN, "s/0:0"))
    assert check(partitioned, right, {}) == []
    wrong = lives(("s/0", EMITTED, BOTH), (f"c/{1 - index}", TAKEN, "s/0:0"))
    assert laws(check(partitioned, wrong, {})) == {"in another partition"}


def test_a_history_file_survives_its_writer(tmp_path: Path) -> None:
    """Whole lines are read back, and the one that was cut is left out."""
    file = HistoryFile(str(tmp_path), "c", 1, "abcd")
    file.add(EMITTED, ["x", "y"])
    file.add(ACKED, ["x"], "d/0")
    file.close()
    (path,) = tmp_path.iterdir()
    path.write_text(path.read_text() + '[1, "taken", "", ["z')
    (life,) = read(tmp_path)
    assert (life.stage, life.events(EMITTED)) == ("c/1", ["x", "y"])
    assert [record.peer for record in life.records] == ["", "d/0"]


def test_a_shape_is_text_and_back() -> None:
    """For the host of a real run; and every event says who made it."""
    for seed in range(50):
        drawn = random_shape(Random(seed), events=100)
        assert Shape.from_json(drawn.to_json()) == drawn
        for part in drawn.parts:
            assert all(made_by(each) == part.name for each in derived(part, "s0/0:1"))
            assert part.kind == "sink" or drawn.consumers(part.name)
