"""A harness's trace as short tuples, for examples that are checked message by message."""

from __future__ import annotations

from typing import Any

from actorflow.protocol.codec import decode_events
from actorflow.protocol.messages import (
    Ask,
    Message,
    Notify,
    Reply,
    Route,
    RouteEos,
    Subscribe,
    Unsubscribe,
)
from actorflow.testing.harness import StageHarness
from actorflow.testing.recording import Called

__all__ = ["Script", "Step"]

Step = tuple[Any, ...]


class Script:
    """Reads a harness's trace, part by part.

    Calling it gives what the stage handled and sent since the last time, in order.
    Acknowledgements that ask for nothing are left out: GenStage has none. So are the callbacks that
    carry no message, and what is for the supervisor, replies excepted.
    """

    def __init__(self, harness: StageHarness) -> None:
        self._harness = harness
        self._read = 0

    def __call__(self) -> list[Step]:
        trace = self._harness.trace
        news, self._read = trace[self._read :], len(trace)
        found = []
        for each in news:
            if isinstance(each, Called):
                if each.label in ("handle_events", "handle_info", "handle_demand"):
                    found.append((each.label, each.args[0]))
            elif (step := _step(each.message)) is not None:
                found.append(step)
        return found


def _step(message: Message) -> Step | None:
    step: Step | None = None
    match message:
        case Route(ref, _, codec, body):
            step = ("route", ref, decode_events(codec, body))
        case Ask(ref, count) if count:
            step = ("ask", ref, count)
        case Subscribe(ref):
            step = ("subscribe", ref)
        case Unsubscribe(ref, reason):
            step = ("unsubscribe", ref, reason)
        case RouteEos(ref, reason):
            step = ("eos", ref, reason)
        case Notify(ref):
            step = ("notify", ref)
        case Reply():
            step = ("reply",)
    return step
