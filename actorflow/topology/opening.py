"""How a program's stream is subscribed: to a running stage, or with the run that it starts."""

from __future__ import annotations

from collections.abc import Hashable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, TypedDict

from actorflow.errors import Closed, NoSuchStage, OptionError, Refused
from actorflow.protocol.demand import SubscriptionOptions
from actorflow.records import dataclass
from actorflow.stage.behaviour import kind_of
from actorflow.stages.outlets import Outlet, StreamEnd
from actorflow.supervision.handle import SupervisorHandle
from actorflow.supervision.specs import Plan, SubscriptionSpec
from actorflow.supervision.streams import Attached, attach, stream_child
from actorflow.topology.declarations import Defaults, SubscribeTo
from actorflow.topology.report import did_you_mean

if TYPE_CHECKING:
    from actorflow.topology.run import Run

__all__ = [
    "ANSWER_WITHIN",
    "Opening",
    "StreamKeywords",
    "open_stream",
    "stream_options",
    "whole_run",
    "with_stream",
]

ANSWER_WITHIN = 5.0
"""Seconds that the supervisor may take to say whether the run goes on."""


class StreamKeywords(TypedDict, total=False):
    """How a stream subscribes: the options of a declared subscription, each of which has a default.

    Args:
        max_demand: how many events may be under way to the program, from 1, or ``"auto"``.
        min_demand: when no more than this many are left it asks again, from 0 to
            ``max_demand - 1``.
        cancel: ``"permanent"`` (the default) ends the iteration with the first replica that ends
            badly or is stopped; ``"transient"`` with one that ends badly; ``"temporary"`` with
            none.
        partition: which partition to take, from a stage that partitions.
        selector: which events to take, from a stage that broadcasts.
    """

    max_demand: int | Literal["auto"]
    min_demand: int
    cancel: str
    partition: Hashable
    selector: Any


def stream_options(stage: str, given: StreamKeywords) -> SubscriptionOptions:
    """The options of a stream's subscriptions, by the rules of declared ones.

    Raises:
        OptionError: an option breaks its rule.
    """
    if not isinstance(stage, str):
        raise OptionError("stage", "a stage's name", stage)
    return SubscribeTo(stage.partition("/")[0], **given).options(Defaults())


def open_stream(supervisor: SupervisorHandle, stage: str, options: SubscriptionOptions) -> Opening:
    """Subscribe the program to a stage; waits for nothing.

    What is refused is also what the stream ends with, for who waits for nothing either.
    """
    outlet = Outlet()
    gone: Future[None] = Future()

    def attached(done: Future[Attached]) -> None:
        error = done.exception()
        if error is not None:
            outlet.conclude(StreamEnd("refused", refusal=error))
            gone.set_result(None)
        else:
            done.result().gone.add_done_callback(lambda _: gone.set_result(None))

    begun = supervisor.begin(lambda core: attach(core, stage, outlet, options))
    begun.add_done_callback(attached)
    return Opening(outlet, gone, begun)


@dataclass(frozen=True, slots=True)
class Opening:
    """A stream that is being opened.

    Args:
        outlet: where its events will come out.
        gone: done when its stage has ended and is forgotten.
        attached: done when it is subscribed, or was refused.
    """

    outlet: Outlet
    gone: Future[None]
    attached: Future[Attached]

    def check(self) -> None:
        """Wait until it is attached.

        A run that is over is no mistake here: what has ended in order has nothing more to give, and
        why another one ended is said by the first step.

        Raises:
            NoSuchStage: there is no stage of that name.
            Refused: it is a consumer.
            TimeoutError: the supervisor does not answer.
        """
        with suppress(Closed):
            self.attached.result(ANSWER_WITHIN)


def with_stream(plan: Plan, stage: str, options: SubscriptionOptions) -> tuple[Plan, Outlet]:
    """A plan with one more stage, in the program, that subscribes to one of the others.

    Raises:
        NoSuchStage: there is none of that name.
        Refused: ``not_a_producer``: it is a consumer.
    """
    specs = {child.stage.id.name: child.stage for child in plan.children}
    if stage not in specs:
        raise NoSuchStage(f"there is no stage {stage!r}{did_you_mean(stage, specs)}")
    if kind_of(specs[stage].behaviour) == "consumer":
        raise Refused("not_a_producer", f"{stage} is a consumer and emits no events")
    number = 1
    taken = {*specs, *(each.name for each in plan.supervisors)}
    while f"stream-{number}" in taken:
        number += 1
    outlet = Outlet()
    child = stream_child(f"stream-{number}", outlet, specs[stage])
    subscription = SubscriptionSpec(consumer=child.stage.id.name, producer=stage, options=options)
    changed = replace(
        plan,
        children=(*plan.children, child),
        subscriptions=(*plan.subscriptions, subscription),
    )
    return changed, outlet


def whole_run(run: Run, outlet: Outlet) -> Opening:
    """The opening of a stream that was planned with its run, and ends with it."""
    gone: Future[None] = Future()
    run.on_over(lambda: gone.set_result(None))
    attached: Future[Attached] = Future()
    attached.set_result(Attached("", gone))
    return Opening(outlet, gone, attached)
