"""The offline checker: histories in, broken promises out. Pure.

What each mode promises, for a run that came to its end:

* ``at_least_once``: what a source has, and what is made of it, is handled by whom it is for.
* ``exactly_once``: every event is once in the states of those whom it is for.
* ``at_most_once``: nothing is handled twice, and nothing out of order.
* all: nothing is handled that was not emitted before, or by another partition; and what a producer
  is told to be finished is.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from actorflow.dispatch.hashing import stable_hash
from tests.chaos.history import ACKED, DONE, EMITTED, TAKEN, Life
from tests.chaos.shapes import Part, Shape, derived, emitted_by, made_by

__all__ = ["Violation", "check"]

SHOWN = 8
"""How many events a violation names."""


@dataclass(frozen=True, slots=True)
class Violation:
    """A promise that was broken.

    Args:
        law: which.
        where: the stages.
        events: the events, or some of them.
        count: how many they are.
    """

    law: str
    where: str
    events: tuple[str, ...]
    count: int

    @classmethod
    def of(cls, law: str, where: str, events: Iterable[str]) -> Violation:
        """One that names a few of these events."""
        all_of_them = sorted(events)
        return cls(law, where, tuple(all_of_them[:SHOWN]), len(all_of_them))

    def __str__(self) -> str:
        more = ", …" if self.count > len(self.events) else ""
        return f"{self.law}: {self.where}: {self.count} events: {', '.join(self.events)}{more}"


def check(shape: Shape, lives: Sequence[Life], results: Mapping[str, Any]) -> list[Violation]:
    """Every promise that a finished run has broken.

    Args:
        shape: what ran.
        lives: the histories of all lives of all stages.
        results: what the stages gave as their results, by name: what each had taken.
    """
    done = _Done(shape, lives)
    found = [
        *_invented(shape, lives),
        *_astray(shape, lives),
        *_acknowledged_too_soon(lives, done),
    ]
    for part in shape.parts:
        if part.kind != "sink" and part.delivery == "at_most_once":
            found += _repeated(part, lives)
            found += _out_of_order(part, lives)
        elif part.kind == "source" and part.delivery == "at_least_once":
            found += _lost(part, done)
    if shape.exact:
        found += _miscounted(shape, _states(shape, results))
    return found


# --- what every mode promises ---------------------------------------------------------------------


def _invented(shape: Shape, lives: Sequence[Life]) -> Iterator[Violation]:
    """Whatever is handled was emitted before, by whom its name says."""
    since: dict[str, float] = {}
    for life in lives:
        for record in life.records:
            if record.kind == EMITTED:
                for event in record.events:
                    since[event] = min(record.time, since.get(event, record.time))
    for life in lives:
        invented = [
            event
            for record in life.records
            if record.kind == TAKEN
            for event in record.events
            if event not in since or since[event] > record.time
        ]
        if invented:
            yield Violation.of("handled and never emitted", life.stage, invented)
        producers = {take.producer for take in shape.part(life.part).takes}
        strange = {event for event in life.events(TAKEN) if made_by(event) not in producers}
        if strange:
            yield Violation.of("handled and not subscribed to", life.stage, strange)


def _astray(shape: Shape, lives: Sequence[Life]) -> Iterator[Violation]:
    """A partition gets its own."""
    partitioned = {part.name for part in shape.parts if part.dispatcher == "partition"}
    for life in lives:
        replicas = shape.part(life.part).replicas
        wrong = {
            event
            for event in life.events(TAKEN)
            if made_by(event) in partitioned and stable_hash(event) % replicas != life.index
        }
        if wrong:
            yield Violation.of("in another partition", life.stage, wrong)


def _acknowledged_too_soon(lives: Sequence[Life], done: _Done) -> Iterator[Violation]:
    """When a producer is told that an event is finished, it is: also what was made of it."""
    for life in lives:
        for record in life.records:
            if record.kind == ACKED:
                early = [e for e in record.events if not done.by(e, record.peer, record.time)]
                if early:
                    where = f"{life.stage} by {record.peer}"
                    yield Violation.of("acknowledged and not finished", where, early)


class _Done:
    """Since when which events are handled, by whom."""

    def __init__(self, shape: Shape, lives: Sequence[Life]) -> None:
        self._shape = shape
        self._since: dict[str, dict[str, float]] = defaultdict(dict)
        for life in lives:
            for record in life.records:
                if record.kind == DONE:
                    mine = self._since[life.stage]
                    for event in record.events:
                        mine[event] = min(record.time, mine.get(event, record.time))

    def by(self, event: str, stage: str, moment: float) -> bool:
        """Whether a stage had finished an event at some moment."""
        since = self._since[stage].get(event)
        if since is None or since > moment:
            return False
        part = self._shape.part(stage.partition("/")[0])
        # Under exactly_once what was made of it is in a snapshot, and is somebody else's.
        if part.kind == "sink" or part.delivery != "at_least_once":
            return True
        return all(self.behind(part, each, moment) for each in derived(part, event))

    def behind(self, part: Part, event: str, moment: float) -> bool:
        """Whether those for whom a part has emitted an event had finished it."""
        consumers = self._shape.consumers(part.name)
        stages = [stage for consumer in consumers for stage in _stages(consumer)]
        whose = all if part.dispatcher == "broadcast" else any
        return whose(self.by(event, stage, moment) for stage in stages)


# --- at least once --------------------------------------------------------------------------------


def _lost(source: Part, done: _Done) -> Iterator[Violation]:
    events = emitted_by(source)
    if missing := [event for event in events if not done.behind(source, event, math.inf)]:
        yield Violation.of("lost", source.name, missing)


# --- at most once ---------------------------------------------------------------------------------


def _repeated(part: Part, lives: Sequence[Life]) -> Iterator[Violation]:
    taken: dict[str, Counter[str]] = defaultdict(Counter)
    for life in lives:
        # Each replica of a broadcast has one of its own.
        who = life.stage if part.dispatcher == "broadcast" else part.name
        taken[who].update(event for event in life.events(TAKEN) if made_by(event) == part.name)
    for who, counts in taken.items():
        if twice := [event for event, count in counts.items() if count > 1]:
            yield Violation.of("repeated", f"{part.name} > {who}", twice)


def _out_of_order(part: Part, lives: Sequence[Life]) -> Iterator[Violation]:
    """Between one life of a producer and one of a consumer, in the order of emission."""
    place: dict[str, int] = {}
    of: dict[str, int] = {}
    for number, life in enumerate(lives):
        if life.part == part.name:
            for event in life.events(EMITTED):
                place[event] = len(place)
                of[event] = number
    for life in lives:
        last: dict[int, int] = {}
        late = []
        for event in life.events(TAKEN):
            if event in place:
                if place[event] < last.get(of[event], -1):
                    late.append(event)
                last[of[event]] = place[event]
        if late:
            yield Violation.of("out of order", f"{part.name} > {life.stage}", late)


# --- exactly once ---------------------------------------------------------------------------------


def _states(shape: Shape, results: Mapping[str, Any]) -> dict[str, Counter[str]]:
    """What each stage's last state says that it has taken, where it keeps one."""
    states = {}
    for part in shape.parts:
        if part.keeps and part.kind != "source":
            found = results.get(part.name)
            each = [found] if part.replicas == 1 else found or [None] * part.replicas
            for stage, events in zip(_stages(part), each, strict=True):
                states[stage] = Counter(events or ())
    return states


def _miscounted(shape: Shape, states: Mapping[str, Counter[str]]) -> Iterator[Violation]:
    """What a part's consumers have counted is what it has made of what it has counted itself."""
    emitted: dict[str, Counter[str]] = {}
    for part in shape.parts:
        if part.kind == "source":
            emitted[part.name] = Counter(emitted_by(part))
            continue
        taken: Counter[str] = Counter()
        for take in part.takes:
            producer = shape.part(take.producer)
            sole = len(shape.consumers(producer.name)) == 1 or producer.dispatcher == "broadcast"
            times = part.replicas if producer.dispatcher == "broadcast" else 1
            if not part.keeps:
                taken += _times(emitted[producer.name], times)
                continue
            each = [_from(producer, states[stage]) for stage in _stages(part)]
            taken += sum(each, Counter())
            if producer.dispatcher == "broadcast":
                for stage, counted in zip(_stages(part), each, strict=True):
                    yield from _differences(producer, stage, emitted[producer.name], counted)
            elif sole:
                counted = sum(each, Counter())
                yield from _differences(producer, part.name, emitted[producer.name], counted)
        emitted[part.name] = Counter()
        for event, count in taken.items():
            emitted[part.name].update(dict.fromkeys(derived(part, event), count))
    for part in shape.parts:
        consumers = shape.consumers(part.name)
        if part.dispatcher == "demand" and len(consumers) > 1:
            stages = [stage for consumer in consumers for stage in _stages(consumer)]
            counted = sum((_from(part, states[stage]) for stage in stages), Counter())
            who = " and ".join(consumer.name for consumer in consumers)
            yield from _differences(part, who, emitted[part.name], counted)


def _differences(
    producer: Part, who: str, wanted: Counter[str], counted: Counter[str]
) -> Iterator[Violation]:
    if missing := wanted - counted:
        yield Violation.of("not counted", f"{producer.name} > {who}", missing.elements())
    if twice := counted - wanted:
        yield Violation.of("counted twice", f"{producer.name} > {who}", twice.elements())


def _stages(part: Part) -> list[str]:
    return [f"{part.name}/{index}" for index in range(part.replicas)]


def _from(producer: Part, counted: Counter[str]) -> Counter[str]:
    return Counter({e: n for e, n in counted.items() if made_by(e) == producer.name})


def _times(counted: Counter[str], times: int) -> Counter[str]:
    return Counter({event: count * times for event, count in counted.items()})
