"""Random topologies for the laws of delivery, as plain data: the same for both runtimes.

A `Shape` says which stages there are and what they do, so that the offline checker can tell from it
alone who should have got which events. It travels to the host of a real run as JSON.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from random import Random
from typing import Any, Self

__all__ = ["Part", "Shape", "Take", "derived", "emitted_by", "made_by", "random_shape"]

MODES = ("at_least_once", "exactly_once", "at_most_once", "mixed")
"""What a topology promises; under ``mixed`` each producer draws its own of the first and third."""

RULES = ("pass", "pass", "filter", "expand")


@dataclass(frozen=True, slots=True)
class Take:
    """A subscription of all replicas of a part to all replicas of another.

    Args:
        producer: the part that emits.
        max_demand: the window, or ``"auto"``.
    """

    producer: str
    max_demand: int | str = 10


@dataclass(frozen=True, slots=True)
class Part:
    """A stage, all replicas together.

    Args:
        name: its name.
        kind: ``"source"``, ``"through"`` or ``"sink"``.
        replicas: how many processes.
        delivery: the mode of what it emits.
        keeps: whether it keeps a state over restarts: for a source, its position.
        count: of a source: how many events each replica has.
        answer: of a source: ``"exact"``, what is asked; ``"more"``, some that nobody asked for;
            ``"ticks"``, a few at each tick of a timer.
        rule: of a through: what it makes of an event, see `derived`.
        dispatcher: ``"demand"``, ``"broadcast"`` or ``"partition"``.
        max_unfinished: that option, or 0 for the default.
        pause: seconds that it takes for each batch.
        takes: its subscriptions.
    """

    name: str
    kind: str
    replicas: int = 1
    delivery: str = "at_least_once"
    keeps: bool = True
    count: int = 0
    answer: str = "exact"
    rule: str = "pass"
    dispatcher: str = "demand"
    max_unfinished: int = 0
    pause: float = 0.0
    takes: tuple[Take, ...] = ()


@dataclass(frozen=True, slots=True)
class Shape:
    """A topology as data.

    Args:
        mode: one of `MODES`.
        parts: the stages, producers first.
    """

    mode: str
    parts: tuple[Part, ...]

    def part(self, name: str) -> Part:
        """The part of this name."""
        return next(part for part in self.parts if part.name == name)

    def consumers(self, producer: str) -> list[Part]:
        """Who takes from it."""
        return [p for p in self.parts if any(take.producer == producer for take in p.takes)]

    @property
    def exact(self) -> bool:
        """Whether every event is to count once."""
        return self.mode == "exactly_once"

    def to_json(self) -> str:
        """As text."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """What `to_json` wrote."""
        data: Mapping[str, Any] = json.loads(text)
        parts = [
            Part(**{**part, "takes": tuple(Take(**take) for take in part["takes"])})
            for part in data["parts"]
        ]
        return cls(data["mode"], tuple(parts))

    def __str__(self) -> str:
        lines = [f"{self.mode}:"]
        for part in self.parts:
            said = ", ".join(f"{t.producer} ({t.max_demand})" for t in part.takes)
            what = f"{part.count} {part.answer}" if part.kind == "source" else part.rule
            kept = "keeps" if part.keeps else "keeps nothing"
            lines.append(
                f"  {part.name} x{part.replicas} {what} {part.dispatcher} {part.delivery} {kept}"
                f" max_unfinished={part.max_unfinished or 'default'} <- {said or '-'}"
            )
        return "\n".join(lines)


def derived(part: Part, event: str) -> list[str]:
    """What a through makes of an event: its name says where it comes from, over all stages.

    Example:
        >>> derived(Part("p", "through", rule="expand"), "s/0:1")
        ['s/0:1>p.0', 's/0:1>p.1']
    """
    weight = sum(event.encode())
    if part.rule == "filter" and weight % 3 == 0:
        return []
    count = weight % 4 if part.rule == "expand" else 1
    return [f"{event}>{part.name}.{number}" for number in range(count)]


def emitted_by(source: Part) -> list[str]:
    """Everything that all replicas of a source have, unless each life has its own.

    Example:
        >>> emitted_by(Part("s", "source", count=2))
        ['s/0:0', 's/0:1']
    """
    return [
        f"{source.name}/{index}:{number}"
        for index in range(source.replicas)
        for number in range(source.count)
    ]


def made_by(event: str) -> str:
    """The name of the part that emitted an event.

    Example:
        >>> made_by("s/0:1"), made_by("s/0:1>p.0"), made_by("s/0~1a2b:1>q~3c4d.0")
        ('s', 'p', 'q')
    """
    last = event.rpartition(">")[2]
    for mark in "~./:":
        last = last.partition(mark)[0]
    return last


def random_shape(random: Random, *, events: int, pace: float = 0.0) -> Shape:
    """Draw a topology: chains, fan-out, fan-in, filters, one to many, buffered output, replicas.

    Args:
        random: every choice is drawn from it.
        events: how many events its parts take together, about.
        pace: the longest that a part takes for a batch, in seconds.

    Example:
        >>> random_shape(Random(1), events=50) == random_shape(Random(1), events=50)
        True
    """
    mode = random.choice(MODES)
    sources = [f"s{number}" for number in range(random.choice((1, 1, 2)))]
    throughs = [f"p{number}" for number in range(random.choice((0, 1, 1, 2, 3)))]
    sinks = [f"c{number}" for number in range(random.choice((1, 1, 2)))]
    parts: list[Part] = [_source(random, name, mode) for name in sources]
    for name in [*throughs, *sinks]:
        kind = "sink" if name in sinks else "through"
        before = [part.name for part in parts if part.kind != "sink"]
        parts.append(replace(_taker(random, name, kind, mode, before), pause=_pause(random, pace)))
    parts = _nobody_unheard(random, parts)
    shape = Shape(mode, tuple(parts))
    shape = Shape(mode, tuple(_dispatched(random, shape, part) for part in parts))
    shape = Shape(mode, tuple(_countable(shape, part) for part in shape.parts))
    count = max(1, int(events / max(1.0, _load(shape))))
    return Shape(
        mode,
        tuple(replace(p, count=count) if p.kind == "source" else p for p in shape.parts),
    )


def _delivery(random: Random, mode: str) -> str:
    return random.choice(("at_least_once", "at_most_once")) if mode == "mixed" else mode


def _source(random: Random, name: str, mode: str) -> Part:
    return Part(
        name,
        "source",
        replicas=random.choice((1, 1, 2)),
        delivery=_delivery(random, mode),
        # Under exactly_once a source without positions would begin anew.
        keeps=mode == "exactly_once" or random.random() < 0.6,
        answer=random.choice(("exact", "exact", "more", "ticks")),
        max_unfinished=random.choice((0, 0, 1, 7, 30)),
    )


def _taker(random: Random, name: str, kind: str, mode: str, before: list[str]) -> Part:
    chosen = random.sample(before, min(len(before), random.choice((1, 1, 1, 2))))
    demands = (1, 2, 5, 10, 50, "auto")
    return Part(
        name,
        kind,
        replicas=random.choice((1, 1, 2, 3)),
        delivery=_delivery(random, mode),
        # Of a sink under exactly_once the state is what is judged.
        keeps=(mode == "exactly_once" and kind == "sink") or random.random() < 0.5,
        rule=random.choice(RULES) if kind == "through" else "pass",
        max_unfinished=random.choice((0, 0, 1, 7, 30)) if kind == "through" else 0,
        takes=tuple(Take(each, random.choice(demands)) for each in chosen),
    )


def _pause(random: Random, pace: float) -> float:
    return random.choice((0.0, pace / 4, pace))


def _nobody_unheard(random: Random, parts: list[Part]) -> list[Part]:
    """Everybody who emits gets a consumer."""
    for number, part in enumerate(parts):
        heard = any(take.producer == part.name for each in parts for take in each.takes)
        if part.kind == "sink" or heard:
            continue
        later = [n for n in range(number + 1, len(parts)) if parts[n].kind != "source"]
        chosen = random.choice(later)
        takes = (*parts[chosen].takes, Take(part.name, random.choice((1, 5, 50))))
        parts[chosen] = replace(parts[chosen], takes=takes)
    return parts


def _dispatched(random: Random, shape: Shape, part: Part) -> Part:
    """Give a producer a dispatcher that suits its consumers."""
    if part.kind == "sink":
        return part
    dispatcher = random.choice(("demand", "demand", "broadcast", "partition"))
    if dispatcher == "partition" and len(shape.consumers(part.name)) > 1:
        dispatcher = "broadcast"
    return replace(part, dispatcher=dispatcher)


def _countable(shape: Shape, part: Part) -> Part:
    """Who shares a producer keeps what it has taken, or nobody could say who got what."""
    shared = any(len(shape.consumers(take.producer)) > 1 for take in part.takes)
    return replace(part, keeps=True) if shape.exact and shared else part


def _load(shape: Shape) -> float:
    """How many events all parts take for each number that a source has."""
    emitted: dict[str, float] = {}
    total = 0.0
    for part in shape.parts:
        if part.kind == "source":
            emitted[part.name] = part.replicas
            continue
        taken = 0.0
        for take in part.takes:
            broadcast = shape.part(take.producer).dispatcher == "broadcast"
            taken += emitted[take.producer] * (part.replicas if broadcast else 1)
        total += taken
        emitted[part.name] = taken * {"pass": 1.0, "filter": 0.7, "expand": 1.5}[part.rule]
    return total
