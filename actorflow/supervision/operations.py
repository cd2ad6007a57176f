"""What can be asked of a running supervisor: each operation has a typed result or error."""

from __future__ import annotations

import difflib
from collections.abc import Collection
from concurrent.futures import Future
from typing import Any

from actorflow.errors import NoSuchStage, OptionError, Refused
from actorflow.protocol import control
from actorflow.protocol.arguments import check_integer
from actorflow.protocol.demand import SubscriptionOptions
from actorflow.protocol.identity import StageId
from actorflow.protocol.reasons import DONE, plain
from actorflow.records import dataclass
from actorflow.stage.behaviour import kind_of
from actorflow.supervision.children import Child, ChildInfo, ChildState
from actorflow.supervision.core import SupervisorCore
from actorflow.supervision.dynamic import admit, wire
from actorflow.supervision.monitors import MonitorTarget
from actorflow.supervision.specs import ChildSpec
from actorflow.supervision.wiring import Edge, fated

__all__ = [
    "ChildCounts",
    "begin",
    "call",
    "cancel",
    "cast",
    "count_children",
    "counts_of",
    "delete_child",
    "ends",
    "ensure_open",
    "establish",
    "find",
    "info",
    "monitor",
    "restart_child",
    "set_demand",
    "start_child",
    "stop",
    "subscribe",
    "terminate_child",
    "which_children",
]


@dataclass(frozen=True, slots=True)
class ChildCounts:
    """`count_children`'s answer.

    Args:
        specs: all children, dead or alive.
        active: those with a process.
        restarting: those about to be started again.

    Example:
        >>> ChildCounts(specs=3, active=2, restarting=1).active
        2
    """

    specs: int
    active: int
    restarting: int


def find(core: SupervisorCore, stage: str, option: str = "stage") -> Child:
    """The child that a name means: ``"count/1"``, or ``"count"`` when there is only one.

    Args:
        core: the supervisor.
        stage: the name.
        option: what the caller's argument is called.

    Raises:
        OptionError: it is no name at all.
        NoSuchStage: there is none, or the name means several; the error lists what there is.
    """
    if type(stage) is not str:
        raise OptionError(option, "a stage's name, such as 'count' or 'count/1'", stage)
    name, _, index = stage.partition("/")
    if not index:
        alone = core.children.get(StageId(name))
        if alone is not None and alone.spec.stage.replicas == 1:
            return alone
    matching = [
        child
        for child in core.children.values()
        if child.id.name == name and (not index or str(child.id.index) == index)
    ]
    if len(matching) == 1:
        return matching[0]
    if matching:
        each = ", ".join(str(child.id) for child in matching)
        raise NoSuchStage(f"{stage!r} means several stages; name one of {each}")
    known = [str(child.id) for child in core.children.values()]
    near = difflib.get_close_matches(stage, [*known, *{k.partition("/")[0] for k in known}], 1)
    hint = f"; did you mean {near[0]!r}?" if near else f"; there are {', '.join(known) or 'none'}"
    raise NoSuchStage(f"there is no stage {stage!r}{hint}")


# --- children -------------------------------------------------------------------------------------


def which_children(core: SupervisorCore) -> list[ChildInfo]:
    """A row for each child, in start order."""
    return [ChildInfo.of(child) for child in core.in_order()]


def count_children(core: SupervisorCore) -> ChildCounts:
    """How many children there are, live and restarting."""
    return counts_of(core.children.values())


def counts_of(children: Collection[Child]) -> ChildCounts:
    """How many of these children are live and restarting."""
    return ChildCounts(
        specs=len(children),
        active=sum(child.alive for child in children),
        restarting=sum(child.state is ChildState.RESTARTING for child in children),
    )


def start_child(core: SupervisorCore, spec: ChildSpec) -> Future[ChildInfo]:
    """Start a new child; the future has its row once it is ready.

    Raises:
        AlreadyStarted: a child of that name exists; the error has its row.
        Refused: ``overloaded``: its dynamic supervisor has as many children as it may have;
            ``noproc``: its supervisor has ended.
        NoSuchStage: there is no such supervisor.
        Closed: the supervisor is stopping.
    """
    ensure_open(core)
    child = core.add(admit(core, spec))
    wire(core, child)
    return begin(core, child)


def stop(core: SupervisorCore, reason: Any) -> float:
    """Stop every child; returns how many seconds that may take, which may be infinite."""
    seconds = core.tree.root.stops_within
    core.stop(reason)
    return seconds


def terminate_child(core: SupervisorCore, stage: str) -> Future[None]:
    """Stop a child, within its `shutdown` time; the future is done once its process is gone."""
    child = find(core, stage)
    future: Future[None] = Future()
    core.give_up(child)
    if child.alive:
        core.gone.add(child, future)
    else:
        future.set_result(None)
    return future


def restart_child(core: SupervisorCore, stage: str) -> Future[ChildInfo]:
    """Start an ended child again.

    Raises:
        Refused: ``running``: it has not ended.
    """
    ensure_open(core)
    child = find(core, stage)
    if child.state is not ChildState.ENDED:
        raise Refused("running", f"{child.id} is {child.state.name.lower()}; terminate it first")
    core.rewire(child)
    return begin(core, child)


def delete_child(core: SupervisorCore, stage: str) -> None:
    """Forget an ended child and its subscriptions.

    Raises:
        Refused: ``running``: it has not ended.
    """
    child = find(core, stage)
    if child.state is not ChildState.ENDED:
        raise Refused("running", f"{child.id} is {child.state.name.lower()}; terminate it first")
    core.remove(child)


def begin(core: SupervisorCore, child: Child) -> Future[ChildInfo]:
    """Start a child; that its start fails is the operation's error and not the run's."""
    future: Future[ChildInfo] = Future()
    core.ready.add(child, future)
    child.dynamic = True
    child.was_ready = False
    core.begin([child])
    return future


# --- subscriptions --------------------------------------------------------------------------------


def subscribe(
    core: SupervisorCore,
    consumer: str,
    producer: str,
    options: SubscriptionOptions,
    shared_fate: bool | None = None,
) -> Future[int]:
    """Subscribe one stage to another; the future has the ref once the producer has accepted (B22).

    To a manager, it is joined with each of its members besides.

    Raises:
        Refused: ``not_a_producer`` or ``not_a_consumer``: one of them cannot (B10).
        NoSuchStage: there is no such stage.
    """
    of, to = ends(core, consumer, producer)
    if not isinstance(options, SubscriptionOptions):
        raise OptionError("options", "a SubscriptionOptions, or None", options)
    fate = fated(options, shared_fate)
    return establish(core, Edge(of, to, fate, declared=False, shared_fate=shared_fate))


def establish(core: SupervisorCore, edge: Edge) -> Future[int]:
    """Make a new edge; the future has the ref once the producer has accepted."""
    core.joining.check_subscriber(edge.consumer, edge.producer)
    core.wiring.add(edge)
    future: Future[int] = Future()
    core.established.add(edge, future)
    core.connect(edge)
    core.joining.settle()
    return future


def ends(core: SupervisorCore, consumer: str, producer: str) -> tuple[StageId, StageId]:
    """The two stages of a subscription that could be made: the consumer and the producer.

    Raises:
        Refused: ``not_a_producer``, ``not_a_consumer``, ``cycle`` or ``noproc``.
        NoSuchStage: there is no such stage.
    """
    ensure_open(core)
    to, of = find(core, producer, "to"), find(core, consumer, "consumer")
    if kind_of(to.spec.stage.behaviour) == "consumer":
        raise Refused("not_a_producer", f"{to.id} is a consumer, nobody can subscribe to it")
    if kind_of(of.spec.stage.behaviour) == "producer":
        raise Refused("not_a_consumer", f"{of.id} is a producer, it cannot subscribe")
    if to.id == of.id or core.wiring.reaches(of.id, to.id):
        raise Refused("cycle", f"{of.id} already feeds {to.id}")
    # Whoever comes after the end of a source that has finished is told so (A26).
    done = to.end is not None and to.end.reason == DONE
    for child in (of,) if done else (to, of):
        if child.state is ChildState.ENDED:
            raise Refused("noproc", f"{child.id} has ended")
    return of.id, to.id


def cancel(core: SupervisorCore, ref: int, reason: Any) -> None:
    """End a subscription; its cancel mode decides what that does to the consumer.

    Raises:
        Refused: ``unknown_subscription``: there is none of that ref.
    """
    check_integer("ref", ref)
    edge = core.wiring.by_ref(ref)
    if edge is None:
        raise Refused("unknown_subscription", f"no subscription has the ref {ref!r}")
    core.tell(core.children[edge.consumer], control.CancelSubscription(ref, plain(reason)))


def set_demand(core: SupervisorCore, stage: str, mode: str) -> None:
    """Let a producer accumulate or forward demand."""
    if mode not in ("accumulate", "forward"):
        raise OptionError("mode", "one of accumulate, forward", mode)
    child = find(core, stage)
    kind = kind_of(child.spec.stage.behaviour)
    if kind != "producer":
        raise Refused(
            "not_a_producer", f"{child.id} is a {kind.replace('_', '-')}, its demand mode is fixed"
        )
    core.tell(child, control.SetDemand(mode))


# --- messages -------------------------------------------------------------------------------------


def call(
    core: SupervisorCore, stage: str, request: Any, *, scope: str = control.USER
) -> Future[Any]:
    """Call a stage; the future has what its `handle_call` returned.

    Raises:
        NoSuchStage: there is none of that name, or it has ended.
        TypeError: the request cannot be sent to another process.
    """
    child = find(core, stage)
    if not child.alive and child.state is not ChildState.WAITING:
        raise NoSuchStage(f"stage {child.id} is not running: it is {child.state.name.lower()}")
    future: Future[Any] = Future()
    message = core.calls.begin(child.addressee, scope, request, future)
    core.when_ready(child, message)
    return future


def cast(core: SupervisorCore, stage: str, message: Any) -> None:
    """Send a stage a message for `handle_cast`."""
    core.cast(find(core, stage), message)


def info(core: SupervisorCore, stage: str, message: Any) -> None:
    """Send a stage a message for `handle_info`, behind what it has buffered."""
    core.info(find(core, stage), message)


def monitor(core: SupervisorCore, stage: str, target: MonitorTarget) -> int:
    """Have a `DownMessage` go to `target` when a stage ends, exactly once per incarnation.

    Of a stage that has ended already it is told at once.

    Raises:
        OptionError: the target is no callback, queue or actor.
    """
    return core.monitors.add(find(core, stage), target)


def ensure_open(core: SupervisorCore) -> None:
    """Refuse an operation on a run that is over or stopping.

    Raises:
        Closed: it is.
    """
    core.refuse_if_over()
