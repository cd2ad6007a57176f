"""The tree of supervisors, and what each end in it leads to: pure decisions.

A supervisor is a node without a process: one actor runs the whole tree. So what happens from the
end of a stage up to the root is one decision, made at once: who is started again, who is stopped
for good, which supervisors gave up on the way, and whether the run is over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from actorflow.errors import NoSuchStage, OptionError
from actorflow.protocol.identity import StageId
from actorflow.records import dataclass
from actorflow.supervision.nodes import Leaf, Node
from actorflow.supervision.specs import ChildSpec, DynamicSupervisorSpec, Plan, SupervisorSpec
from actorflow.supervision.strategy import restart_group, wants_restart

__all__ = ["Decision", "Tree"]


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
            order=plan.order,
            intensity=plan.intensity,
            auto_shutdown=plan.auto_shutdown,
        )
        self.root = Node(root, None)
        self._active = active
        self._nodes: dict[str, Node] = {"": self.root}
        self._leaves: dict[StageId, Leaf] = {}
        for supervisor in plan.supervisors:
            self._nodes[supervisor.name] = Node(supervisor, self._nodes[supervisor.parent])
            if isinstance(supervisor, DynamicSupervisorSpec):
                self._divide(self._nodes[supervisor.name], supervisor)
        for child in plan.children:
            self.add(child)
        for node in self._nodes.values():
            self._place(node)

    # --- what there is ----------------------------------------------------------------------------

    def add(self, spec: ChildSpec) -> Leaf:
        """A new child: behind the other replicas of its stage, or the last of its supervisor.

        Raises:
            NoSuchStage: there is no supervisor of that name.
        """
        parent = self.node(spec.supervisor)
        leaf = Leaf(spec.stage.id, spec, parent)
        self._leaves[leaf.stage] = leaf
        parent.insert(leaf)
        self._place(parent)
        return leaf

    def remove(self, stage: StageId) -> None:
        """Forget a child."""
        leaf = self._leaves.pop(stage)
        del leaf.parent.members[leaf.name]

    def leaf(self, stage: StageId) -> Leaf:
        """The child that is this stage."""
        return self._leaves[stage]

    @property
    def lasting(self) -> bool:
        """Whether there may still be children when all have ended: a dynamic supervisor lives."""
        return any(node.dynamic is not None and not node.gone for node in self._nodes.values())

    def node(self, name: str) -> Node:
        """The supervisor of a name; nothing names the run's own.

        Raises:
            OptionError: it is no name at all.
            NoSuchStage: there is none.
        """
        if type(name) is not str:
            raise OptionError("name", "a supervisor's name", name)
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
        while node.parent is not None and node.name not in node.parent.members:
            node.parent.members[node.name] = node
            node = node.parent

    def _divide(self, node: Node, spec: DynamicSupervisorSpec) -> None:
        """Give a dynamic supervisor its shards; one alone it is itself."""
        for index in range(spec.shards if spec.shards > 1 else 0):
            part = replace(spec, name=f"{spec.name}/{index}", parent=spec.name, shards=1)
            part = replace(part, restart="transient", significant=False, max_children=None)
            shard = Node(part, node)
            node.members[shard.name] = self._nodes[shard.name] = shard

    # --- decisions --------------------------------------------------------------------------------

    def ended(
        self,
        stage: StageId,
        *,
        normal: bool,
        now: float,
        wanted: bool = True,
        patient: bool = True,
        counted: bool = True,
    ) -> Decision:
        """What follows from the end of a stage that nobody had asked to stop.

        Args:
            stage: which one.
            normal: whether it was an orderly end.
            now: seconds on the clock of restarts.
            wanted: whether there is any use in starting it again.
            patient: whether back-off holds; without it, restarts count as if there were none.
            counted: whether a restart of it counts; one that does not is made at once.
        """
        unit = self._leaves[stage]
        if not counted and wanted and wants_restart(unit.spec.restart, normal=normal):
            return Decision(supervisor=unit.parent.name, restart=(stage,))
        return self._decide(unit, normal=normal, now=now, wanted=wanted, patient=patient)

    def killed(self, name: str, *, now: float, patient: bool = True) -> Decision:
        """What follows when a supervisor is made to end badly.

        Raises:
            NoSuchStage: there is none of that name.
        """
        node = self.node(name)
        return self._decide(node, normal=False, now=now, wanted=True, patient=patient)

    def _decide(
        self, unit: Leaf | Node, *, normal: bool, now: float, wanted: bool, patient: bool
    ) -> Decision:
        first = unit.name
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
                        stop=tuple(each for each in stop if str(each) != first),
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
        if not unit.spec.significant:
            return False
        if parent.spec.auto_shutdown == "any_significant":
            return True
        return not any(
            self._is_active(member)
            for member in parent.members.values()
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
        # A supervisor that begins again starts everybody, temporary children too, as in OTP; a
        # dynamic one begins without children.
        for member in unit.members.values():
            self.add(member, again=again and (isinstance(member, Node) or unit.dynamic is None))


def _group(unit: Leaf | Node) -> list[Leaf | Node]:
    assert unit.parent is not None
    strategy = unit.parent.spec.strategy
    if strategy == "one_for_one":
        return [unit]  # among thousands of others
    group = restart_group(strategy, list(unit.parent.members.values()), unit)
    return [member for member in group if member is unit or not _is_guest(member)]


def _is_guest(member: Leaf | Node) -> bool:
    """Whether a child is the program's own, which waits for the successors of those it watches."""
    place = member.spec.stage.place if isinstance(member, Leaf) else None
    return place is not None and place.guest


def _pause(unit: Leaf | Node, parent: Node, now: float, *, patient: bool) -> float | None:
    """Seconds until a restart; None when there were too many."""
    backoff = unit.spec.backoff
    if backoff is not None and patient:
        return unit.row.next_pause(backoff, now, unit.name)
    return 0.0 if parent.log.allows(now) else None
