"""Attaching a program's stream to running stages, and forgetting it when it has ended."""

from __future__ import annotations

from concurrent.futures import Future

from actorflow.errors import Refused
from actorflow.protocol.demand import SubscriptionOptions
from actorflow.protocol.identity import StageId
from actorflow.records import dataclass
from actorflow.stage.behaviour import kind_of
from actorflow.stage.options import StageOptions
from actorflow.stage.spec import StageSpec
from actorflow.stages.outlets import Outlet, StreamEnd, ToProgram
from actorflow.supervision import operations
from actorflow.supervision.children import Child
from actorflow.supervision.core import SupervisorCore
from actorflow.supervision.specs import ChildSpec
from actorflow.supervision.wiring import Edge

__all__ = ["Attached", "attach", "stream_child"]


@dataclass(frozen=True, slots=True)
class Attached:
    """A stream's stage.

    Args:
        name: the stage's.
        gone: done when it has ended and is forgotten.
    """

    name: str
    gone: Future[None]


def stream_child(name: str, outlet: Outlet, producer: StageSpec) -> ChildSpec:
    """The child behind a stream.

    Args:
        name: the stage's name.
        outlet: what it shares with the program.
        producer: whose events it takes; both sides must agree about delivery.
    """
    spec = StageSpec(
        id=StageId(name),
        behaviour=ToProgram,
        arguments={"place": outlet},
        options=StageOptions(delivery=producer.options.delivery),
        place=outlet,
    )
    # Its end is the program's business, and never the run's.
    return ChildSpec(stage=spec, restart="temporary")


def attach(
    core: SupervisorCore, stage: str, outlet: Outlet, options: SubscriptionOptions
) -> Attached:
    """Start a stage in the program that subscribes to a stage, all of its replicas.

    Args:
        core: the supervisor's.
        stage: ``"count"``, or ``"count/1"`` for one replica.
        outlet: what the new stage shares with the program.
        options: of the subscriptions.

    Raises:
        Closed: the run is over or stopping.
        NoSuchStage: there is no stage of that name.
        Refused: ``not_a_producer``: it is a consumer.
    """
    operations.ensure_open(core)
    producers = _named(core, stage)
    number = 1
    while StageId(f"stream-{number}") in core.children:
        number += 1
    child = core.add(stream_child(f"stream-{number}", outlet, producers[0].spec.stage))
    for producer in producers:
        core.wiring.add(Edge(child.id, producer.id, options))
    # A manager of members is joined with, and so is each of them.
    core.joining.settle()
    gone: Future[None] = Future()
    ended: Future[None] = Future()
    core.gone.add(child, ended)
    ended.add_done_callback(lambda _: _forget(core, child, outlet, gone))
    operations.begin(core, child)
    return Attached(child.id.name, gone)


def _named(core: SupervisorCore, stage: str) -> list[Child]:
    name, _, index = stage.partition("/")
    found = [child for child in core.children.values() if child.id.name == name]
    # A name with an index, or one that nobody has, is looked up as everywhere.
    producers = found if found and not index else [operations.find(core, stage)]
    if kind_of(producers[0].spec.stage.behaviour) == "consumer":
        raise Refused("not_a_producer", f"{producers[0].id} is a consumer and emits no events")
    return producers


def _forget(core: SupervisorCore, child: Child, outlet: Outlet, gone: Future[None]) -> None:
    # One that never had a thread, because the run ended first, still has to end for the program.
    outlet.conclude(StreamEnd("shutdown"))
    if child.id in core.children:
        core.remove(child)
    gone.set_result(None)
