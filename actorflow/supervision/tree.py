"""The tree of supervisors, and what each end in it leads to: pure decisions.

A supervisor is a node without a process: one actor runs the whole tree. So what happens from the
end of a stage up to the root is one decision, made at once: who is started again, who is stopped
for good, which supervisors gave up on the way, and whether the run is over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from actorflow.errors import NoSuchStage
from actorflow.protocol.identity import StageId
from actorflow.supervision.specs import Backoff, ChildSpec, Plan, SupervisorSpec
from actorflow.supervision.strategy import RestartLog, restart_group, wants_restart

__all__ = ["Decision", "Leaf", "Node", "Tree"]


@dataclass(slots=True)
class _Row:
    """Failures in a row of a child that has a back-off."""

    failures: int = 0
    up_since: float = 0.0

    def next_pause(self, backoff: Backoff, now: float, who: str) -> float | None:
        """Seconds until the next restart; None when there were too many in a row."""
        if now - self.up_since >= backoff.max:
            self.failures = 0
        self.failures += 1
        if backoff.attempts is not None and self.failures > backoff.attempts:
            self.failures = 0
            return None
        pause = backoff.pause(self.failures, who)
        self.up_since = now + pause
        return pause


@dataclass(slots=True, eq=False)
class Leaf:
    """A child that is a stage's process."""

    stage: StageId
    spec: ChildSpec
    parent: Node
    row: _Row = field(default_factory=_Row)

    @property
    def name(self) -> str:
        """The stage's id."""
        return str(self.stage)

    @property
    def leaves(self) -> Iterator[Leaf]:
        """It alone."""
        yield self


@dataclass(slots=True, eq=False)
class Node:
    """A supervisor: its rules, its children in start order, and its restarts of late."""

    spec: SupervisorSpec
    parent: Node | None
    members: list[Leaf | Node] = field(default_factory=list)
    log: RestartLog = field(init=False)
    row: _Row = field(default_factory=_Row)
    ended: bool = False
    restarts: int = 0

    def __post_init__(self) -> None:
        self.log = RestartLog(self.spec.intensity)

    @property
    def name(self) -> str:
        """Its name; nothing for the run's own."""
        return self.spec.name

    @property
    def leaves(self) -> Iterator[Leaf]:
        """Every stage below it, in start order."""
        for member in self.members:
            yield from member.leaves

    @property
    def nodes(self) -> Iterator[Node]:
        """It and every supervisor below it, in start order."""
        yield self
        for member in self.members:
            if isinstance(member, Node):
                yield from member.nodes

    def begin_again(self) -> None:
        """A new life, with no restarts behind it."""
        self.log = RestartLog(self.spec.intensity)
        self.ended = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What the end of a child leads to.

    Args:
        supervisor: whose children are started again, or the last that shut down.
        restart: the stages to start again once they have stopped, in start order.
        stop: further stages to stop, which do not come back.
        revived: the supervisors that begin again with them.
        pause: seconds to wait before the restart.
        gave_up: the supervisors whose intensity or back-off was exceeded, from the inside outward.
        shut_down: the supervisors that ended because significant children did.
        run: ``"failed"`` or ``"done"`` when the run's own supervisor ends; else nothing.
    """

    supervisor: str = ""
    restart: tuple[StageId, ...] = ()
    stop: tuple[StageId, ...] = ()
    revived: tuple[str, ...] = ()
    pause: float = 0.0
    gave_up: tuple[SupervisorSpec, ...] = ()
    shut_down: tuple[str, ...] = ()
    run: str = ""


class Tree:
    """The supervisors of a run and what they decide.

    A supervisor stands, among its parent's children, where the first of its stages stands; one
    without stages comes last.

    Args:
        plan: what is run.
        active: whether a stage runs or is about to be started again.

    Example:
        >>> from actorflow.stage.behaviour import Stage
        >>> from actorflow.stage.spec import StageSpec
        >>> inner = SupervisorSpec(name="inner", strategy="one_for_all")
        >>> children = [
        ...     ChildSpec(stage=StageSpec(id=StageId(name), behaviour=Stage), supervisor=supervisor)
        ...     for name, supervisor in (("a", ""), ("b", "inner"), ("c", "inner"))
        ... ]
        >>> plan = Plan(name="example", children=children, supervisors=[inner])
        >>> tree = Tree(plan, active=lambda stage: True)
        >>> [str(stage) for stage in tree.ended(StageId("c"), normal=False, now=0.0).restart]
        ['b/0', 'c/0']
    """

    def __init__(self, plan: Plan, active: Callable[[StageId], bool]) -> None:
        root = SupervisorSpec(
            name="",
            strategy=plan.strategy,
            intensity=plan.intensity,
            auto_shutdown=plan.auto_shutdown,
        )
        self.root = Node(root, None)
        self._active = active
        self._nodes: dict[str, Node] = {"": self.root}
        self._leaves: dict[StageId, Leaf] = {}
        for supervisor in plan.supervisors:
            self._nodes[supervisor.name] = Node(supervisor, self._nodes[supervisor.parent])
        for child in plan.children:
            self.add(child)
        for node in self._nodes.values():
            self._place(node)

    # --- what there is ----------------------------------------------------------------------------

    def add(self, spec: ChildSpec) -> Leaf:
        """A new child, the last of its supervisor.

        Raises:
            NoSuchStage: there is no supervisor of that name.
        """
        parent = self.node(spec.supervisor)
        leaf = Leaf(spec.stage.id, spec, parent)
        self._leaves[leaf.stage] = leaf
        parent.members.append(leaf)
        self._place(parent)
        return leaf

    def remove(self, stage: StageId) -> None:
        """Forget a child."""
        leaf = self._leaves.pop(stage)
        leaf.parent.members.remove(leaf)

    def leaf(self, stage: StageId) -> Leaf:
        """The child that is this stage."""
        return self._leaves[stage]

    def has_node(self, name: str) -> bool:
        """Whether a supervisor below the root has this name."""
        return bool(name) and name in self._nodes

    def node(self, name: str) -> Node:
        """The supervisor of a name; nothing names the run's own.

        Raises:
            NoSuchStage: there is none.
        """
        try:
            return self._nodes[name]
        except KeyError:
            known = ", ".join(filter(None, self._nodes)) or "none besides the run's own"
            raise NoSuchStage(f"there is no supervisor {name!r}; there are {known}") from None

    def in_order(self) -> Iterator[StageId]:
        """Every stage, in start order."""
        return (leaf.stage for leaf in self.root.leaves)

    def group(self, stage: StageId) -> list[StageId]:
        """The stages that are restarted when one of them fails, within its own supervisor."""
        leaf = self._leaves[stage]
        return [each.stage for member in _group(leaf) for each in member.leaves]

    def _place(self, node: Node) -> None:
        """Put a supervisor among its parent's children, as soon as its place is known."""
        while node.parent is not None and not any(node is each for each in node.parent.members):
            node.parent.members.append(node)
            node = node.parent

    # --- decisions --------------------------------------------------------------------------------

    def ended(
        self,
        stage: StageId,
        *,
        normal: bool,
        now: float,
        wanted: bool = True,
        patient: bool = True,
    ) -> Decision:
        """What follows from the end of a stage that nobody had asked to stop.

        Args:
            stage: which one.
            normal: whether it was an orderly end.
            now: seconds on the clock of restarts.
            wanted: whether there is any use in starting it again.
            patient: whether back-off holds; without it, restarts count as if there were none.
        """
        unit: Leaf | Node = self._leaves[stage]
        gave_up: list[SupervisorSpec] = []
        shut_down: list[str] = []
        stop: dict[StageId, None] = {}
        while True:
            parent = unit.parent
            if parent is None:
                run = "done" if normal else "failed"
                return Decision(gave_up=tuple(gave_up), shut_down=tuple(shut_down), run=run)
            if wanted and wants_restart(unit.spec.restart, normal=normal):
                pause = _pause(unit, parent, now, patient=patient)
                if pause is not None:
                    group = self._restarted(unit, parent, stop)
                    return Decision(
                        supervisor=parent.name,
                        restart=group.restart,
                        stop=tuple(stop),
                        revived=group.revived,
                        pause=pause,
                        gave_up=tuple(gave_up),
                        shut_down=tuple(shut_down),
                    )
                gave_up.append(parent.spec)
                normal = False
            else:
                stop.update(dict.fromkeys(leaf.stage for leaf in unit.leaves))
                if isinstance(unit, Node):
                    unit.ended = True
                if not self._shuts_down(parent, unit):
                    return Decision(
                        supervisor=parent.name,
                        stop=tuple(each for each in stop if each != stage),
                        gave_up=tuple(gave_up),
                        shut_down=tuple(shut_down),
                    )
                shut_down.append(parent.name)
                normal = True
            unit, wanted = parent, True

    def _restarted(self, unit: Leaf | Node, parent: Node, stop: dict[StageId, None]) -> _Restarted:
        """Who begins again when `unit` does; adds to `stop` whoever only stops with it."""
        found = _Restarted()
        for member in _group(unit):
            found.add(member, again=member is unit or member.spec.restart != "temporary")
        for stage in found.stopped:
            stop[stage] = None
        for stage in found.restart:
            stop.pop(stage, None)
        return found

    def _shuts_down(self, parent: Node, unit: Leaf | Node) -> bool:
        """Whether a supervisor ends because this child of it has ended for good."""
        if not unit.spec.significant or parent.spec.auto_shutdown == "never":
            return False
        if parent.spec.auto_shutdown == "any_significant":
            return True
        return not any(
            self._is_active(member)
            for member in parent.members
            if member.spec.significant and member is not unit
        )

    def _is_active(self, member: Leaf | Node) -> bool:
        if isinstance(member, Node):
            return not member.ended
        return self._active(member.stage)


class _Restarted:
    """Who begins again, gathered from the members of a group."""

    def __init__(self) -> None:
        self._restart: list[StageId] = []
        self._revived: list[str] = []
        self.stopped: list[StageId] = []

    @property
    def restart(self) -> tuple[StageId, ...]:
        return tuple(self._restart)

    @property
    def revived(self) -> tuple[str, ...]:
        return tuple(self._revived)

    def add(self, unit: Leaf | Node, *, again: bool) -> None:
        """A member of the group and everybody below it."""
        if isinstance(unit, Leaf):
            (self._restart if again else self.stopped).append(unit.stage)
            return
        if again:
            unit.begin_again()
            unit.restarts += 1
            self._revived.append(unit.name)
        else:
            unit.ended = True
        # A supervisor that begins again starts everybody, temporary children too, as in OTP.
        for member in unit.members:
            self.add(member, again=again)


def _group(unit: Leaf | Node) -> list[Leaf | Node]:
    assert unit.parent is not None
    return restart_group(unit.parent.spec.strategy, unit.parent.members, unit)


def _pause(unit: Leaf | Node, parent: Node, now: float, *, patient: bool) -> float | None:
    """Seconds until a restart; None when there were too many."""
    backoff = unit.spec.backoff
    if backoff is not None and patient:
        return unit.row.next_pause(backoff, now, unit.name)
    return 0.0 if parent.log.allows(now) else None
