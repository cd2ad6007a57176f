"""Operations on supervisors: what there is; stopping, starting and killing a part of the tree."""

from __future__ import annotations

from concurrent.futures import Future

from actorflow.errors import OptionError, Refused
from actorflow.records import dataclass
from actorflow.supervision.children import ChildState
from actorflow.supervision.core import SupervisorCore
from actorflow.supervision.dynamic import children_of
from actorflow.supervision.nodes import Node
from actorflow.supervision.waiting import when_all

__all__ = [
    "SupervisorInfo",
    "kill_supervisor",
    "restart_supervisor",
    "terminate_supervisor",
    "which_supervisors",
]


@dataclass(frozen=True, slots=True)
class SupervisorInfo:
    """One row of `which_supervisors`.

    Args:
        name: its name, ``"jobs/1"`` for a shard; nothing for the run's own.
        parent: the supervisor that it is a child of.
        strategy: which of its children are restarted with one that ends badly.
        state: ``"running"`` or ``"ended"``.
        restarts: how often it has begun again.
        stages: how many stages are below it.
        active: how many of them have a process.

    Example:
        >>> row = SupervisorInfo(
        ...     "readers", "", "one_for_one", "running", restarts=1, stages=4, active=4
        ... )
        >>> row.active == row.stages
        True
    """

    name: str
    parent: str
    strategy: str
    state: str
    restarts: int
    stages: int
    active: int


def which_supervisors(core: SupervisorCore) -> list[SupervisorInfo]:
    """A row for each supervisor, each before those inside it, the run's own first."""
    return [_row(core, node) for node in core.tree.root.nodes]


def _row(core: SupervisorCore, node: Node) -> SupervisorInfo:
    children = [core.children[leaf.stage] for leaf in node.leaves]
    return SupervisorInfo(
        name=node.name,
        parent=node.parent.name if node.parent is not None else "",
        strategy=node.spec.strategy,
        state="ended" if node.gone else "running",
        restarts=node.restarts,
        stages=len(children),
        active=sum(child.alive for child in children),
    )


def terminate_supervisor(core: SupervisorCore, name: str) -> Future[None]:
    """Stop a supervisor and every stage below it; the future is done once their processes are gone.

    Nobody starts it again but `restart_supervisor`, or a restart of the supervisor that it is in.

    Raises:
        NoSuchStage: there is no such supervisor.
    """
    node = _below_the_root(core, name)
    node.ended = True
    waiting: list[Future[None]] = []
    for child in reversed(children_of(core, name)):
        core.give_up(child)
        if child.alive:
            gone: Future[None] = Future()
            core.gone.add(child, gone)
            waiting.append(gone)
    return when_all(waiting)


def restart_supervisor(core: SupervisorCore, name: str) -> None:
    """Start a supervisor that has ended, and every stage below it; a dynamic one has none.

    Raises:
        NoSuchStage: there is no such supervisor.
        Refused: ``running``: it has not ended, or not all of its stages have; ``noproc``: one that
            it is in has ended.
    """
    core.refuse_if_over()
    node = _below_the_root(core, name)
    children = children_of(core, name)
    if not node.ended or any(child.state is not ChildState.ENDED for child in children):
        raise Refused("running", f"the supervisor {name!r} has not ended; terminate it first")
    if node.parent is not None and node.parent.gone:
        raise Refused("noproc", f"the supervisor that {name!r} is in has ended")
    for each in node.nodes:
        each.begin_again()
    for child in children:
        core.rewire(child)
    core.begin(children)


def kill_supervisor(core: SupervisorCore, name: str) -> None:
    """Kill every process below a supervisor; to its parent it has ended badly.

    So the parent's strategy and limit decide, as if it had given up.

    Raises:
        NoSuchStage: there is no such supervisor.
        Refused: ``noproc``: it has ended.
    """
    core.refuse_if_over()
    node = _below_the_root(core, name)
    if node.gone:
        raise Refused("noproc", f"the supervisor {name!r} has ended")
    for child in children_of(core, name):
        if child.alive:
            core.runtime.signal(child.incarnation, "kill")
    core.kill_supervisor(name)


def _below_the_root(core: SupervisorCore, name: str) -> Node:
    if not name:
        raise OptionError("name", "the name of a supervisor below the run's own", name)
    return core.tree.node(name)
