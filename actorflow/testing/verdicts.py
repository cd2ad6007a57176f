"""Judging a finished run of a random topology: who should have got which events, and did."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field
from typing import Any

from actorflow.dispatch.hashing import stable_hash
from actorflow.protocol.codec import decode_events
from actorflow.protocol.identity import Incarnation, StageId
from actorflow.protocol.messages import Ask, Route, Subscribe
from actorflow.protocol.wire import decode
from actorflow.records import dataclass
from actorflow.runtime.simulated.process import SimulatedProcess
from actorflow.runtime.simulated.witness import Witness
from actorflow.stage.behaviour import Subscription
from actorflow.stage.callbacks import HANDLE_EVENTS
from actorflow.stage.work import CONTROL_LINK, Work
from actorflow.testing.topologies import SPAN, RandomTopology, is_even, remainder, through

__all__ = ["Record", "judge", "judge_states"]


@dataclass(slots=True)
class Taken:
    """What one consumer took from one producer.

    Args:
        producer: who sent.
        consumer: who took.
        options: the subscription's.
        events: those whose callback has returned, in order.
        batches: all that arrived, by sequence number.
        acked: the last batch that the producer knows to be finished.
        told: each notification that was handled, with how many events were handled before it.
    """

    producer: Incarnation
    consumer: Incarnation
    options: Mapping[str, Any]
    events: list[int] = field(default_factory=list)
    batches: dict[int, list[int]] = field(default_factory=dict)
    acked: int = 0
    told: list[tuple[int, int]] = field(default_factory=list)

    @property
    def finished(self) -> set[int]:
        """The events that the producer has let go of."""
        return {
            event for seq, batch in self.batches.items() if seq <= self.acked for event in batch
        }


class Record(Witness):
    """Writes down which events each stage emitted, discarded and handled.

    Args:
        acknowledgements: whether it also notes which batches were acknowledged; it takes time.
    """

    def __init__(self, *, acknowledgements: bool) -> None:
        self._acknowledgements = acknowledgements
        self.emitted: dict[Incarnation, list[int]] = defaultdict(list)
        self.discarded: dict[Incarnation, list[int]] = defaultdict(list)
        self.taken: dict[int, Taken] = {}
        self.told: dict[Incarnation, list[int]] = defaultdict(list)
        """The places in the order of emission at which a stage notified its consumers."""
        self._replaced: dict[int, int] = {}
        """For a subscription the one in whose place it was made, on the same link of two lives."""

    def received(self, process: SimulatedProcess, link: int, frame: bytes) -> None:
        """Note batches, and acknowledgements."""
        if not self._acknowledgements or link == CONTROL_LINK or process.machine is None:
            return
        message = decode(frame)
        if isinstance(message, Route) and process.machine.consuming is not None:
            incoming = process.machine.consuming.subscriptions.get(message.ref)
            if incoming is not None and not incoming.ended:
                taken = self._flow(incoming.handle, process.child)
                taken.batches[message.seq] = decode_events(message.codec, message.body)
        elif isinstance(message, Ask) and message.ref in self.taken:
            flow = self.taken[message.ref]
            flow.acked = max(flow.acked, message.acked)
        elif isinstance(message, Subscribe) and message.replaces is not None:
            self._replaced[message.ref] = message.replaces

    def finishes(self, process: SimulatedProcess, work: Work, result: object) -> None:
        """Note the events of a callback that has returned."""
        if work.label == HANDLE_EVENTS:
            self._flow(work.args[1], process.child).events += work.args[0]
        elif work.label == "handle_notification":
            flow = self._flow(work.args[1], process.child)
            flow.told.append((work.args[0], len(flow.events)))
        elif work.label == "handle_discarded":
            self.discarded[process.child] += work.args[0]
        if isinstance(result, list) and result:
            if process.machine is not None and getattr(process.machine.behaviour, "tells", False):
                self.told[process.child].append(len(self.emitted[process.child]))
            self.emitted[process.child] += result

    def streams(self) -> list[Taken]:
        """What each consumer took from each producer, over subscriptions that replaced others."""
        streams: dict[int, Taken] = {}
        for ref, taken in sorted(self.taken.items()):
            first = ref
            while first in self._replaced:
                first = self._replaced[first]
            stream = streams.get(first)
            if stream is None:
                stream = streams[first] = Taken(taken.producer, taken.consumer, taken.options)
            stream.told += [(place, len(stream.events) + before) for place, before in taken.told]
            stream.events += taken.events
        return list(streams.values())

    def _flow(self, handle: Subscription, consumer: Incarnation) -> Taken:
        taken = self.taken.get(handle.ref)
        if taken is None:
            taken = self.taken[handle.ref] = Taken(handle.peer, consumer, handle.options)
        return taken


def judge(topology: RandomTopology, record: Record, *, once: bool, complete: bool) -> Iterator[str]:
    """What went wrong with the events of a run that has ended; nothing when all is well.

    Args:
        topology: what was run.
        record: what happened.
        once: whether each event has to arrive exactly once, or as its dispatcher demands, and in
            order; else, after a crash or a cancellation, at least once.
        complete: whether each source has to have emitted all its numbers.
    """
    if complete:
        yield from _sources(topology, record)
    if not once:
        yield from _nothing_lost(topology, record)
    else:
        for producer, emitted in record.emitted.items():
            yield from _exactly(topology, record, producer, emitted)


def _sources(topology: RandomTopology, record: Record) -> Iterator[str]:
    for name, count in topology.sources.items():
        for index in range(topology.stages[name].replicas):
            emitted = {
                event
                for child, events in record.emitted.items()
                if child.stage.name == name and child.stage.index == index
                for event in events
            }
            if len(emitted) != count:
                yield f"source {name}/{index} emitted {len(emitted)} of its {count} numbers"


def _exactly(
    topology: RandomTopology, record: Record, producer: Incarnation, emitted: list[int]
) -> Iterator[str]:
    flows = [taken for taken in record.streams() if taken.producer == producer]
    discarded = Counter(record.discarded[producer])
    name = producer.stage.name
    dispatcher = topology.stages[name].options.dispatcher
    # What a consumer that leaves had not finished goes to the others, behind newer events.
    in_order = not any(
        topology.stages[consumer].arguments.get("leaves_after")
        for consumer in topology.consumers(name)
    )
    for flow in flows:
        if in_order and not _is_subsequence(flow.events, emitted):
            yield f"{flow.consumer} took from {producer} out of order: {flow.events} of {emitted}"
        # Where nobody is waited for, those that are declared may come late as well.
        waits = topology.stages[name].options.when_no_consumers != "discard"
        awaited = waits and flow.consumer.stage.name in topology.stages
        late = topology.replays(name) and not awaited
        if in_order and not late:
            # What is replayed has left its notifications behind.
            yield from _told(flow, emitted, record.told[producer])
    if topology.dispatcher(name) == "broadcast":
        # Who came late missed the beginning.
        declared = [flow for flow in flows if flow.consumer.stage.name in topology.stages]
        yield from _broadcast(declared, emitted, discarded)
        return
    taken = Counter(event for flow in flows for event in flow.events)
    missing, repeated = Counter(emitted) - discarded - taken, taken - Counter(emitted)
    # A message of which a consumer that leaves had handled a part is delivered again as a whole.
    if missing or (repeated and in_order):
        yield f"{producer}: lost {dict(missing)}, repeated {dict(repeated)}"
    if isinstance(dispatcher, Mapping) and "partition" in dispatcher:
        for flow in flows:
            wrong = [
                e for e in flow.events if _partition(dispatcher, e) != flow.options["partition"]
            ]
            if wrong:
                yield f"{flow.consumer} took {wrong}, which are of another partition"


def _told(flow: Taken, emitted: list[int], places: list[int]) -> Iterator[str]:
    """Each notification comes once, behind the events before it and before those behind it (A12).

    A consumer gets all that were made after the first event that it took; of equal events, that may
    have been the last.
    """
    first_place = {event: place for place, event in reversed(list(enumerate(emitted)))}
    last_place = {event: place for place, event in enumerate(emitted)}
    told = [place for place, _ in flow.told]
    if told != sorted(set(told)):
        yield f"{flow.consumer} was told {told} by {flow.producer}: out of order, or twice"
    for place, before in flow.told:
        early = [event for event in flow.events[before:] if last_place[event] < place]
        late = [event for event in flow.events[:before] if first_place[event] >= place]
        if early or late:
            said = f"{flow.consumer} was told {place} by {flow.producer}"
            yield f"{said} before {early}, after {late}"
    if flow.events:
        missed = {place for place in places if place > last_place[flow.events[0]]} - set(told)
        if missed:
            yield f"{flow.consumer} was never told {sorted(missed)} by {flow.producer}"


def _broadcast(flows: list[Taken], emitted: list[int], discarded: Counter[int]) -> Iterator[str]:
    """Each consumer takes everything that its selector takes and the buffer did not drop."""
    for flow in flows:
        wanted = [event for event in emitted if not flow.options.get("selector") or is_even(event)]
        missing = Counter(wanted) - discarded - Counter(flow.events)
        if missing:
            yield f"{flow.consumer} did not take {dict(missing)} from {flow.producer}"


def _nothing_lost(topology: RandomTopology, record: Record) -> Iterator[str]:
    """Whatever a producer has let go of has been handled, and so has everything made from it.

    A source lets go of all that it emits before it ends; so nothing of that is lost. What a stage
    had made of events that were then delivered again, perhaps to another, does not count.
    """
    for name in topology.stages:
        if name in topology.sources:
            made = {e for c, es in record.emitted.items() if c.stage.name == name for e in es}
        elif name in topology.rules:
            rule = topology.rules[name]
            into = [flow for flow in record.taken.values() if flow.consumer.stage.name == name]
            made = {each for flow in into for e in flow.finished for each in through(rule, e)}
        else:
            continue
        flows = [flow for flow in record.taken.values() if flow.producer.stage.name == name]
        for flow in flows:
            unhandled = flow.finished - set(flow.events)
            if unhandled:
                yield f"{flow.consumer} acknowledged {unhandled} from {name} unhandled"
        made -= {e for c, es in record.discarded.items() if c.stage.name == name for e in es}
        if topology.dispatcher(name) != "broadcast":
            missing = made - {event for flow in flows for event in flow.events}
            if missing:
                yield f"nobody took {missing} from {name}"
            continue
        for consumer in topology.consumers(name):
            selector = topology.links[name, consumer].extra.get("selector")
            wanted = {event for event in made if not selector or is_even(event)}
            for index in range(topology.stages[consumer].replicas):
                who = StageId(consumer, index)
                mine = {e for flow in flows if flow.consumer.stage == who for e in flow.events}
                if wanted - mine:
                    yield f"{who} never took {wanted - mine} from {name}"


def judge_states(topology: RandomTopology, results: Mapping[str, Any]) -> Iterator[str]:
    """What went wrong with the states that ``exactly_once`` has left behind; nothing when all well.

    A state is all that a stage has taken, as `players.Remembers` leaves it.

    Args:
        topology: what was run, until its sources had no more.
        results: what the stages passed to `set_result`.
    """
    taken = {stage: list(events) for stage, events in _states(results)}
    for name, spec in topology.stages.items():
        if name in topology.sources:
            first, count = int(spec.arguments["first"]), topology.sources[name]
            starts = range(first, first + SPAN * spec.replicas, SPAN)
            made = Counter(event for start in starts for event in range(start, start + count))
        elif name in topology.rules:
            rule = topology.rules[name]
            mine = [pairs for stage, pairs in taken.items() if stage.name == name]
            made = Counter(each for pairs in mine for _, e in pairs for each in through(rule, e))
        else:
            continue
        shares = {
            stage: Counter(event for producer, event in pairs if producer == name)
            for stage, pairs in taken.items()
        }
        if topology.dispatcher(name) != "broadcast":
            yield from _differ(f"all consumers of {name}", made, sum(shares.values(), Counter()))
            continue
        for consumer in topology.consumers(name):
            selector = topology.links[name, consumer].extra.get("selector")
            wanted = Counter({e: n for e, n in made.items() if not selector or is_even(e)})
            for index in range(topology.stages[consumer].replicas):
                who = StageId(consumer, index)
                yield from _differ(f"{who} of {name}", wanted, shares.get(who, Counter()))


def _states(results: Mapping[str, Any]) -> Iterator[tuple[StageId, list[Any]]]:
    for name, result in results.items():
        alone = all(each and isinstance(each[0], str) for each in result)
        for index, state in enumerate([result] if alone else result):
            yield StageId(name, index), state or []


def _differ(who: str, wanted: Counter[int], counted: Counter[int]) -> Iterator[str]:
    missing, repeated = wanted - counted, counted - wanted
    if missing or repeated:
        yield f"in the state of {who} {dict(missing)} are missing, {dict(repeated)} too many"


def _partition(dispatcher: Mapping[str, Any], event: int) -> int:
    options = dispatcher["partition"]
    if options["by"] is None:
        return stable_hash(event) % int(options["partitions"])
    return remainder(options["partitions"], event)


def _is_subsequence(events: Sequence[int], of: Sequence[int]) -> bool:
    rest = iter(of)
    return all(event in rest for event in events)
