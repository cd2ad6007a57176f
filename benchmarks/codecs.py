"""What encoding and decoding an event takes with each codec, by what the event is.

``auto`` is to be the fastest that gives every type back. msgpack and pickle are the option's other
values, msgspec is `codec: {msgspec: Class}` where the events are of one class. The floor is the
library alone, without a look at what it would change: `msgpack.packb` and `unpackb` for plain data,
`pickle` for the rest. A batch of 500 events is encoded and decoded in one process.

    python -m benchmarks.codecs
    python -m benchmarks.codecs --events 5 --json
"""

from __future__ import annotations

import argparse
import pickle
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgpack

from actorflow.protocol.codec import CodecOption, Encoder, decode_events
from benchmarks._suite import (
    Chart,
    Finding,
    Missing,
    Result,
    alternate,
    at_least,
    parser,
    publish,
    quotients,
    series,
)

SECONDS = 0.02
"""How long one side works on one kind of event in one round."""


@dataclass
class Reading:
    """An event of a class."""

    sensor: str
    degrees: float
    tags: list[str]


KINDS: dict[str, Callable[[int], Any]] = {
    "int": lambda n: 1_000_000 + n,
    "int of 40 bits": lambda n: (1 << 40) + n,
    "float": lambda n: n * 0.37,
    "text": lambda n: f"word{n}",
    "map": lambda n: {"id": n, "name": f"user{n}", "score": n * 0.5, "tags": ["a", "b"]},
    "tuple": lambda n: (n, f"word{n}"),
    "dataclass": lambda n: Reading(f"sensor{n}", n * 0.5, ["a", "b"]),
}
"""What an event may be, made from its number."""

PLAIN = ("int", "int of 40 bits", "float", "text", "map")
TYPED = ("dataclass",)


def _through(option: CodecOption, events: list[Any]) -> Callable[[], Any]:
    encoder = Encoder("benchmark", option)

    def turn() -> Any:
        encoded = encoder.encode(1, events)
        return decode_events(encoded.codec, encoded.body)

    return turn


def _bare(kind: str, events: list[Any]) -> Callable[[], Any]:
    if kind in PLAIN:
        return lambda: msgpack.unpackb(msgpack.packb(events), strict_map_key=False)
    return lambda: pickle.loads(pickle.dumps(events, protocol=5))


def _nanoseconds(turn: Callable[[], Any], events: list[Any]) -> float:
    """The best time per event: what interrupts it is not the codec's."""
    if turn() != events:
        raise AssertionError("events came back changed")
    best, until = float("inf"), time.perf_counter() + SECONDS
    while (began := time.perf_counter()) < until:
        turn()
        best = min(best, time.perf_counter() - began)
    return best / len(events) * 1e9


def _sides(count: int) -> dict[str, Callable[[], dict[str, float]]]:
    """For each side what measures it on every kind that it takes."""
    batches = {kind: [make(number) for number in range(count)] for kind, make in KINDS.items()}

    def measured(turns: dict[str, Callable[[], Any]]) -> Callable[[], dict[str, float]]:
        return lambda: {kind: _nanoseconds(turn, batches[kind]) for kind, turn in turns.items()}

    def with_codec(option: CodecOption, kinds: tuple[str, ...]) -> Callable[[], dict[str, float]]:
        return measured({kind: _through(option, batches[kind]) for kind in kinds})

    sides = {
        "library alone": measured({kind: _bare(kind, batches[kind]) for kind in KINDS}),
        "auto": with_codec("auto", tuple(KINDS)),
        "pickle": with_codec("pickle", tuple(KINDS)),
        "msgpack": with_codec("msgpack", PLAIN),
    }
    if _has_msgspec():
        named = {"msgspec": f"{Reading.__module__}:{Reading.__qualname__}"}
        sides["msgspec, typed"] = with_codec(named, TYPED)
    return sides


def _has_msgspec() -> bool:
    try:
        import msgspec  # noqa: F401
    except ImportError:
        return False
    return True


def measure(options: argparse.Namespace) -> Result:
    """Every codec on every kind of event it takes."""
    sides = _sides(options.events)
    found = alternate(sides, options.rounds)
    auto, floor = found["auto"], found["library alone"]
    rivals = [found[side] for side in ("pickle", "msgpack")]
    findings = []
    for kind in KINDS:
        best = [min(side[n][kind] for side in rivals if kind in side[n]) for n in range(len(auto))]
        ours = [each[kind] for each in auto]
        bare = [each[kind] for each in floor]
        findings += [
            Finding(name=f"auto over the faster codec, {kind}", rounds=quotients(ours, best)),
            Finding(name=f"auto over the library alone, {kind}", rounds=quotients(ours, bare)),
        ]
    return Result(
        name="codecs",
        title="Codecs",
        measures=(
            f"Nanoseconds to encode and decode one event, in batches of {options.events}. The floor"
            " is msgpack or, for tuples and classes, pickle without any check."
        ),
        charts=(
            Chart(
                title="Encoding and decoding an event",
                unit="ns",
                better="less",
                parameter="event",
                series=tuple(
                    series(
                        side,
                        "floor" if side == "library alone" else "actorflow",
                        {kind: [each[kind] for each in rounds] for kind in rounds[0]},
                    )
                    for side, rounds in found.items()
                ),
            ),
        ),
        findings=tuple(findings),
        missing=(
            () if "msgspec, typed" in sides else (Missing(side="msgspec", why="not installed"),)
        ),
    )


def main(argv: list[str] | None = None) -> int:
    """Run it."""
    options = parser(__doc__, rounds=7)
    options.add_argument(
        "--events", type=at_least(1), default=500, help="events in a batch (default: 500)"
    )
    return publish(measure, options.parse_args(argv))


if __name__ == "__main__":
    # By its own name: a class of ``__main__`` is none that another process could import.
    from benchmarks.codecs import main as run

    raise SystemExit(run())
