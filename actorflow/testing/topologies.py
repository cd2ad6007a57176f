"""Random topologies: from a source of randomness to a plan whose right results are known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field, replace
from functools import partial
from random import Random
from typing import Any

from actorflow.protocol.demand import SubscriptionOptions
from actorflow.protocol.identity import StageId
from actorflow.records import dataclass
from actorflow.stage.behaviour import Stage
from actorflow.stage.options import StageOptions
from actorflow.supervision.specs import (
    ChildSpec,
    Intensity,
    Plan,
    StageSpec,
    SubscriptionSpec,
    SupervisorSpec,
)
from actorflow.testing.players import (
    SPAN,
    AskedThrough,
    ByHand,
    ExactAskedThrough,
    ExactByHand,
    ExactNumbers,
    ExactSink,
    ExactThrough,
    KeptNumbers,
    KeptSink,
    KeptThrough,
    Numbers,
    Sink,
    Through,
    is_even,
    parity,
    remainder,
    through,
)

__all__ = [
    "SPAN",
    "ByHand",
    "Numbers",
    "RandomTopology",
    "Sink",
    "Through",
    "governed",
    "is_even",
    "parity",
    "random_topology",
    "remainder",
    "through",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class RandomTopology:
    """A plan, and what is needed to tell what its stages should have got.

    Args:
        plan: what to run.
        sources: for each source's name, how many numbers each replica has.
        rules: for each producer-consumer's name, its rule.
        stages: for each stage's name, its specification (of replica 0).
        links: for each producer's and consumer's name, how the one subscribes to the other.
        crashable: the stages that may be killed without any loss.
    """

    plan: Plan
    sources: Mapping[str, int]
    rules: Mapping[str, str]
    stages: Mapping[str, StageSpec]
    links: Mapping[tuple[str, str], SubscriptionOptions]
    crashable: tuple[str, ...]

    @property
    def lossy(self) -> bool:
        """Whether what a stage had not finished when it fell is lost: ``at_most_once``."""
        return any(s.options.delivery == "at_most_once" for s in self.stages.values())

    @property
    def exact(self) -> bool:
        """Whether every event counts once in every stage's state: ``exactly_once``."""
        return any(s.options.delivery == "exactly_once" for s in self.stages.values())

    def replays(self, producer: str) -> bool:
        """Whether who subscribes late to a stage gets what was there before."""
        described: Any = self.stages[producer].options.dispatcher
        return isinstance(described, Mapping) and "broadcast" in described

    def dispatcher(self, producer: str) -> str:
        """By which rule a stage dispatches."""
        described: Any = self.stages[producer].options.dispatcher
        return next(iter(described)) if isinstance(described, Mapping) else str(described)

    def consumers(self, producer: str) -> list[str]:
        """Who subscribes to a stage."""
        return [consumer for upstream, consumer in self.links if upstream == producer]


@dataclass(slots=True)
class _Draft:
    name: str
    behaviour: type[Stage]
    arguments: dict[str, Any]
    replicas: int = 1
    options: dict[str, Any] = field(default_factory=dict)
    upstream: dict[str, SubscriptionOptions] = field(default_factory=dict)
    dispatcher: str = "demand"

    @property
    def produces(self) -> bool:
        return self.is_source or issubclass(self.behaviour, Through)

    @property
    def is_source(self) -> bool:
        return issubclass(self.behaviour, Numbers)


BUDGET = 120
"""How many events all consumers of a topology take together, about: so much can be simulated, with
every law asked at every step, in some ten milliseconds."""


def random_topology(random: Random, *, lossless: bool = False) -> RandomTopology:
    """Draw a topology of one to six stages.

    Args:
        random: every choice is drawn from it; Hypothesis has one that shrinks.
        lossless: whether nothing may be lost, as far as stages go: no full buffer drops anything,
            and whoever dies has its work done by another.

    Example:
        >>> a, b = random_topology(Random(1)), random_topology(Random(1))
        >>> [str(c.stage.id) for c in a.plan.children] == [str(c.stage.id) for c in b.plan.children]
        True
    """
    delivery = "at_least_once" if lossless or random.random() < 0.8 else "at_most_once"
    exact = delivery == "at_least_once" and random.random() < 0.15
    drafts = _draft_stages(random)
    _connect(random, drafts)
    partitions = _choose_dispatchers(random, drafts)
    leavers = delivery == "at_least_once" and not exact
    _choose_arguments(random, drafts, lossless=lossless or exact, leavers=leavers)
    if exact:
        delivery = "exactly_once"
        for draft in drafts:
            draft.behaviour = _exact(draft.behaviour)
    specs = {
        draft.name: StageSpec(
            id=StageId(draft.name),
            behaviour=draft.behaviour,
            arguments=draft.arguments,
            options=StageOptions(**draft.options, delivery=delivery),
            replicas=draft.replicas,
        )
        for draft in drafts
    }
    children = [
        ChildSpec(stage=replace(specs[draft.name], id=StageId(draft.name, index)))
        for draft in drafts
        for index in range(draft.replicas)
    ]
    strategy = random.choice(("one_for_one", "one_for_one", "rest_for_one", "one_for_all"))
    if strategy != "rest_for_one":
        # There, whoever starts later is restarted with its producers; so the order has a meaning.
        random.shuffle(children)
    links = {
        (producer, draft.name): options
        for draft in drafts
        for producer, options in draft.upstream.items()
    }
    plan = Plan(
        name="random",
        children=children,
        subscriptions=[
            SubscriptionSpec(consumer=consumer, producer=producer, options=options)
            for (producer, consumer), options in links.items()
        ],
        strategy=strategy,
        intensity=Intensity(max_restarts=1000),
        partitions=partitions,
    )
    return RandomTopology(
        plan=plan,
        sources={d.name: d.arguments["count"] for d in drafts if d.is_source},
        rules={d.name: d.arguments["rule"] for d in drafts if d.produces and not d.is_source},
        stages=specs,
        links=links,
        crashable=tuple(d.name for d in drafts),
    )


def governed(plan: Plan, random: Random) -> Plan:
    """The same stages; some start and stop one by one, some have a supervisor of their own.

    Its own strategy is that of the run. With ``rest_for_one`` there is none: it might have its
    stages start before producers of theirs, and so not be restarted with them.

    Example:
        >>> plan = random_topology(Random(3)).plan
        >>> governed(plan, Random(1)).order, governed(plan, Random(2)).order
        ('together', 'one_by_one')
    """
    if random.random() < 2 / 3:
        return plan
    root, part = (random.choice(("together", "one_by_one")) for _ in range(2))
    if plan.strategy == "rest_for_one" or random.random() < 0.5:
        return replace(plan, order="one_by_one")
    supervisor = SupervisorSpec(
        name="part", strategy=plan.strategy, order=part, intensity=plan.intensity
    )
    names = sorted({child.stage.id.name for child in plan.children})
    inside = random.sample(names, random.randint(1, len(names)))
    children = [
        replace(child, supervisor="part" if child.stage.id.name in inside else "")
        for child in plan.children
    ]
    return replace(plan, order=root, children=children, supervisors=[supervisor])


def _draft_stages(random: Random) -> list[_Draft]:
    """Stages in an order in which each may take events from those before it; the last is a sink."""
    count = random.choice((1, 2, 2, 3, 3, 3, 4, 4, 5, 6))
    drafts = [_Draft("numbers0", Numbers, {}, random.choice((1, 1, 2)))]
    for number in range(1, count - 1):
        kind = random.choice((Numbers, Through, Through, Through, Sink))
        drafts.append(
            _Draft(f"{kind.__name__.lower()}{number}", kind, {}, random.choice((1, 1, 2, 3)))
        )
    if count > 1:
        sink = random.choice((Sink, Sink, Sink, ByHand))
        drafts.append(_Draft(f"sink{count - 1}", sink, {}, random.choice((1, 1, 2, 3))))
    for draft in drafts:
        kept = {Numbers: KeptNumbers, Through: KeptThrough, Sink: KeptSink}
        if draft.behaviour in kept and random.random() < 0.12:
            draft.behaviour = kept[draft.behaviour]
        elif draft.behaviour is Through and random.random() < 0.12:
            draft.behaviour = AskedThrough
    return drafts


def _exact(behaviour: type[Stage]) -> type[Stage]:
    """The class of the same kind whose state shows what counts."""
    kinds = {
        Numbers: ExactNumbers,
        AskedThrough: ExactAskedThrough,
        Through: ExactThrough,
        Sink: ExactSink,
        ByHand: ExactByHand,
    }
    return next(exact for kind, exact in kinds.items() if issubclass(behaviour, kind))


def _connect(random: Random, drafts: list[_Draft]) -> None:
    """Each stage takes events from one or two before it, and each producer has a consumer."""
    for number, draft in enumerate(drafts):
        before = [each for each in drafts[:number] if each.produces]
        if draft.is_source:
            continue
        chosen = random.sample(before, min(len(before), random.choice((1, 1, 2))))
        for each in chosen:
            _subscribe(random, draft, each)
    for number, draft in enumerate(drafts[:-1]):
        after = [each for each in drafts[number + 1 :] if not each.is_source]
        if draft.produces and not any(draft.name in each.upstream for each in after):
            _subscribe(random, random.choice(after), draft)


def _subscribe(random: Random, consumer: _Draft, producer: _Draft) -> None:
    """Draw a subscription; the first one of a stage is permanent, so that it ends some time."""
    cancel = "permanent"
    if consumer.upstream and random.random() < 0.4:
        cancel = random.choice(("transient", "temporary"))
    if random.random() < 0.3:
        options = SubscriptionOptions(cancel=cancel)
    else:
        widest = random.randint(1, 7)
        lowest = random.choice((None, 0, widest - 1, random.randint(0, widest - 1)))
        options = SubscriptionOptions(max_demand=widest, min_demand=lowest, cancel=cancel)
    consumer.upstream[producer.name] = options


def _choose_dispatchers(random: Random, drafts: list[_Draft]) -> dict[str, tuple[int, ...]]:
    """Give each producer a dispatcher that suits its consumers; returns the partitions."""
    partitions: dict[str, tuple[int, ...]] = {}
    for draft in drafts:
        if not draft.produces:
            continue
        consumers = [each for each in drafts if draft.name in each.upstream]
        draft.dispatcher = random.choice(("demand", "demand", "broadcast", "partition"))
        if draft.dispatcher == "partition":
            if len(consumers) == 1:
                count = consumers[0].replicas
                partitions[draft.name] = tuple(range(count))
            elif consumers and all(each.replicas == 1 for each in consumers):
                count = len(consumers)
                for number, each in enumerate(consumers):
                    _add_option(each, draft.name, "partition", number)
            else:
                draft.dispatcher = "demand"
                continue
            by = partial(remainder, count) if random.random() < 0.5 else None
            draft.options["dispatcher"] = {"partition": {"partitions": count, "by": by}}
        elif draft.dispatcher == "broadcast":
            replay = random.choice((0, 0, 1, 4, 100))
            draft.options["dispatcher"] = (
                {"broadcast": {"replay": replay}} if replay else "broadcast"
            )
            for each in consumers:
                if random.random() < 0.2:
                    _add_option(each, draft.name, "selector", f"{__name__}:is_even")
        elif random.random() < 0.3:
            turns = {
                "chunk": random.choice((None, 1, 2, 5)),
                "shuffle_demands_on_first_dispatch": random.random() < 0.5,
                "seed": random.randint(0, 9),
            }
            draft.options["dispatcher"] = {"demand": turns}
    return partitions


def _add_option(consumer: _Draft, producer: str, name: str, value: Any) -> None:
    options = consumer.upstream[producer]
    consumer.upstream[producer] = replace(options, extra={**options.extra, name: value})


def _choose_arguments(
    random: Random, drafts: list[_Draft], *, lossless: bool, leavers: bool
) -> None:
    by_name = {draft.name: draft for draft in drafts}
    for draft in drafts:
        if draft.produces:
            draft.arguments["tells"] = random.random() < 0.2
            if random.random() < 0.15:
                draft.options["max_unfinished"] = random.choice((None, 1, 5, 20))
        if draft.is_source:
            _describe_source(random, draft, lossless=lossless)
        elif draft.produces:
            draft.arguments["rule"] = random.choice(("identity", "identity", "filter", "expand"))
            draft.options["buffer_size"] = None
            if draft.behaviour is AskedThrough:
                draft.arguments["hook"] = random.choice(("ask", "ask", "forward", "hold"))
        elif draft.behaviour is ByHand:
            draft.arguments["window"] = random.randint(1, 7)
        else:
            demand = all(by_name[name].dispatcher == "demand" for name in draft.upstream)
            leaves = leavers and demand and draft.replicas > 1 and random.random() < 0.3
            draft.arguments["leaves_after"] = random.randint(1, 10) if leaves else 0
    most = BUDGET / max(1.0, _load(drafts))
    for draft in drafts:
        if draft.is_source and len(drafts) > 1:
            # A source whose consumers are few may have more than one whose events multiply.
            draft.arguments["count"] = random.randint(0, max(1, min(40, int(2 * most))))


def _describe_source(random: Random, draft: _Draft, *, lossless: bool) -> None:
    answer = random.choice(("exact", "exact", "less", "more", "ticks"))
    if answer == "less":
        draft.options["poll_interval"] = 0.002
    if not lossless:
        draft.options["buffer_size"] = random.choice((0, 1, 5, 10_000))
        draft.options["buffer_keep"] = random.choice(("first", "last"))
        draft.options["when_no_consumers"] = random.choice(("buffer", "buffer", "discard"))
    if random.random() < 0.15:
        draft.options["demand"] = "accumulate"
        draft.arguments["flows_after"] = random.choice((0.0005, 0.003))
    first = int(draft.name.removeprefix("numbers")) * 4 * SPAN
    draft.arguments.update(first=first, count=0, answer=answer)


def _load(drafts: list[_Draft]) -> float:
    """How many events all consumers take for each number that a source has."""
    emitted: dict[str, float] = {}
    total = 0.0
    for draft in drafts:
        if draft.is_source:
            emitted[draft.name] = draft.replicas
            continue
        copies = {"broadcast": draft.replicas, "partition": 1, "demand": 1}
        by_name = {each.name: each for each in drafts}
        taken = sum(emitted[name] * copies[by_name[name].dispatcher] for name in draft.upstream)
        total += taken
        if draft.produces:
            factors = {"identity": 1.0, "filter": 0.4, "expand": 3.5}
            emitted[draft.name] = taken * factors[draft.arguments["rule"]]
    return total
