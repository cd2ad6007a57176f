"""Random topologies: from a source of randomness to a plan whose right results are known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from random import Random
from typing import Any

from actorflow.protocol.demand import SubscriptionOptions
from actorflow.protocol.identity import StageId
from actorflow.stage.behaviour import Consumer, Producer, ProducerConsumer, Stage, Subscription
from actorflow.stage.options import StageOptions
from actorflow.supervision.specs import ChildSpec, Intensity, Plan, StageSpec, SubscriptionSpec

__all__ = ["ByHand", "Numbers", "RandomTopology", "Sink", "Through", "random_topology", "through"]

SPAN = 10_000
"""The numbers of different sources are this far apart."""


class Numbers(Producer):
    """A finite source of whole numbers, that answers demand in one of several ways.

    Args:
        first: the first number of replica 0; that of the next is `SPAN` further.
        count: how many.
        answer: ``"exact"``, what is asked; ``"less"``, half of it, so that it lives on being
            polled; ``"more"``, a few more than asked; ``"ticks"``, nothing, and two at each tick of
            a timer.

    Example:
        >>> Numbers(first=0, count=3).answer
        'exact'
    """

    def __init__(self, first: int, count: int, answer: str = "exact") -> None:
        self.first = first
        self.count = count
        self.answer = answer
        self.left: list[int] = []

    def on_start(self) -> None:
        """Count; an empty source is done at once."""
        first = self.first + SPAN * self.index
        self.left = list(range(first, first + self.count))
        if self.answer == "ticks":
            self.send_after(0.001, "tick")
        elif not self.left:
            self.finish()

    def handle_demand(self, demand: int) -> list[int]:
        """Answer in its way."""
        wanted = {"exact": demand, "less": (demand + 1) // 2, "more": demand + 3, "ticks": 0}
        return self._take(wanted[self.answer])

    def handle_info(self, message: Any) -> list[int]:
        """Two numbers, whether they are asked for or not."""
        if self.left:
            self.send_after(0.001, message)
        return self._take(2)

    def _take(self, count: int) -> list[int]:
        taken, self.left = self.left[:count], self.left[count:]
        if not self.left:
            self.finish()
        return taken


def through(rule: str, event: int) -> list[int]:
    """What a stage with this rule makes of an event.

    Example:
        >>> through("identity", 5), through("expand", 5), through("filter", 5)
        ([5], [20, 21, 22], [])
    """
    if rule == "expand":
        return [event * 4 + part for part in range(event % 4 + 2)]
    if rule == "filter":
        return [event] if event % 3 == 0 else []
    return [event]


class Through(ProducerConsumer):
    """Makes none, one or several events of each, by a rule (see `through`)."""

    def __init__(self, rule: str) -> None:
        self.rule = rule

    def handle_events(self, events: list[int], subscription: Subscription) -> list[int]:
        """Apply the rule to each."""
        return [made for event in events for made in through(self.rule, event)]


class Sink(Consumer):
    """Takes events.

    Args:
        leaves_after: after so many events it stops, in good order; 0 for never.
    """

    def __init__(self, leaves_after: int = 0) -> None:
        self.leaves_after = leaves_after
        self.taken = 0

    def handle_events(self, events: list[int], subscription: Subscription) -> None:
        """Count them."""
        self.taken += len(events)
        if 0 < self.leaves_after <= self.taken and self.index:
            self.stop()


class ByHand(Consumer):
    """Takes events on manual subscriptions: asks for `window`, then for what it has handled."""

    def __init__(self, window: int) -> None:
        self.window = window

    def handle_subscribe(
        self, side: str, options: Mapping[str, Any], subscription: Subscription
    ) -> str:
        """Ask for the first ones."""
        self.ask(subscription, self.window)
        return "manual"

    def handle_events(self, events: list[int], subscription: Subscription) -> None:
        """Ask for as many again."""
        self.ask(subscription, len(events))


def is_even(event: int) -> bool:
    """A selector."""
    return event % 2 == 0


def parity(event: int) -> int:
    """A partition function that has a name."""
    return event % 2


def remainder(count: int, event: int) -> int:
    """A partition function."""
    return event % count


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

    def dispatcher(self, producer: str) -> Any:
        """How a stage dispatches."""
        return self.stages[producer].options.dispatcher

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
        return self.behaviour in (Numbers, Through)


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
    drafts = _draft_stages(random)
    _connect(random, drafts)
    partitions = _choose_dispatchers(random, drafts)
    _choose_arguments(random, drafts, lossless=lossless, leavers=delivery == "at_least_once")
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
        sources={d.name: d.arguments["count"] for d in drafts if d.behaviour is Numbers},
        rules={d.name: d.arguments["rule"] for d in drafts if d.behaviour is Through},
        stages=specs,
        links=links,
        crashable=tuple(d.name for d in drafts),
    )


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
    return drafts


def _connect(random: Random, drafts: list[_Draft]) -> None:
    """Each stage takes events from one or two before it, and each producer has a consumer."""
    for number, draft in enumerate(drafts):
        before = [each for each in drafts[:number] if each.produces]
        if draft.behaviour is Numbers:
            continue
        chosen = random.sample(before, min(len(before), random.choice((1, 1, 2))))
        draft.upstream = {each.name: _subscription(random) for each in chosen}
    for number, draft in enumerate(drafts[:-1]):
        after = [each for each in drafts[number + 1 :] if each.behaviour is not Numbers]
        if draft.produces and not any(draft.name in each.upstream for each in after):
            random.choice(after).upstream[draft.name] = _subscription(random)


def _subscription(random: Random) -> SubscriptionOptions:
    if random.random() < 0.3:
        return SubscriptionOptions()
    widest = random.randint(1, 7)
    lowest = random.choice((None, 0, widest - 1, random.randint(0, widest - 1)))
    return SubscriptionOptions(max_demand=widest, min_demand=lowest)


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
            draft.options["dispatcher"] = "broadcast"
            for each in consumers:
                if random.random() < 0.2:
                    _add_option(each, draft.name, "selector", f"{__name__}:is_even")
    return partitions


def _add_option(consumer: _Draft, producer: str, name: str, value: Any) -> None:
    options = consumer.upstream[producer]
    consumer.upstream[producer] = replace(options, extra={**options.extra, name: value})


def _choose_arguments(
    random: Random, drafts: list[_Draft], *, lossless: bool, leavers: bool
) -> None:
    by_name = {draft.name: draft for draft in drafts}
    for draft in drafts:
        if draft.behaviour is Through:
            draft.arguments["rule"] = random.choice(("identity", "identity", "filter", "expand"))
            draft.options["buffer_size"] = None
        elif draft.behaviour is ByHand:
            draft.arguments["window"] = random.randint(1, 7)
        elif draft.behaviour is Sink:
            demand = all(by_name[name].dispatcher == "demand" for name in draft.upstream)
            leaves = leavers and demand and draft.replicas > 1 and random.random() < 0.3
            draft.arguments["leaves_after"] = random.randint(1, 10) if leaves else 0
        else:
            answer = random.choice(("exact", "exact", "less", "more", "ticks"))
            if answer == "less":
                draft.options["poll_interval"] = 0.002
            if not lossless:
                draft.options["buffer_size"] = random.choice((0, 1, 5, 10_000))
                draft.options["buffer_keep"] = random.choice(("first", "last"))
            first = int(draft.name.removeprefix("numbers")) * 4 * SPAN
            draft.arguments.update(first=first, count=0, answer=answer)
    most = BUDGET / max(1.0, _load(drafts))
    for draft in drafts:
        if draft.behaviour is Numbers and len(drafts) > 1:
            # A source whose consumers are few may have more than one whose events multiply.
            draft.arguments["count"] = random.randint(0, max(1, min(40, int(2 * most))))


def _load(drafts: list[_Draft]) -> float:
    """How many events all consumers take for each number that a source has."""
    emitted: dict[str, float] = {}
    total = 0.0
    for draft in drafts:
        if draft.behaviour is Numbers:
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
