"""What a supervisor knows, and its way out: the children, their wiring, who waits for what."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

from actorflow.errors import Closed, Refused
from actorflow.protocol import control
from actorflow.protocol.codec import encode_value
from actorflow.protocol.identity import Incarnation, StageId
from actorflow.protocol.messages import Cast, Info, Message
from actorflow.supervision.calls import PendingCalls
from actorflow.supervision.children import Child, ChildInfo, ChildState
from actorflow.supervision.events import Outcome, StageLogged, SupervisorEvent
from actorflow.supervision.journal import Journal
from actorflow.supervision.monitors import Monitors
from actorflow.supervision.runtime import Runtime
from actorflow.supervision.specs import ChildSpec, Plan
from actorflow.supervision.tree import Tree
from actorflow.supervision.waiting import Waiters
from actorflow.supervision.wiring import EdgeState, Wiring

__all__ = ["SupervisorState"]


class SupervisorState:
    """What the parts of a supervisor share: its facts, and the means to act on children.

    Args:
        plan: what to run.
        runtime: where to run it.
        report: is told of every `SupervisorEvent`, the `Outcome` last.
    """

    def __init__(
        self, plan: Plan, runtime: Runtime, report: Callable[[SupervisorEvent], None]
    ) -> None:
        self.plan = plan
        self.runtime = runtime
        self.report = report
        self.tree = Tree(plan, self._is_active)
        specs = {spec.stage.id: spec for spec in plan.children}
        self.children = {stage: Child(specs[stage]) for stage in self.tree.in_order()}
        self.wiring = Wiring()
        self.calls = PendingCalls()
        self.outcome: Outcome | None = None
        self.stopping = False
        self.draining = False
        self.deadline = math.inf
        """When no child may live any longer, on the runtime's clock: that of a drain."""
        self.resumed = False
        """Whether it goes on from an earlier run's checkpoint."""
        self.established: Waiters[int] = Waiters()
        self.ready: Waiters[ChildInfo] = Waiters()
        self.gone: Waiters[None] = Waiters()
        self.replaced: Waiters[ChildInfo] = Waiters()
        self.monitors = Monitors()
        self._generations: dict[StageId, int] = {}
        self._left: dict[str, dict[int, Any]] = {}
        self.unclaimed: dict[StageId, Journal] = {}
        """What replicas have left that are not there: of one that comes again it is the state."""
        self._before_ready: dict[Incarnation, list[Message]] = {}
        self._timers: dict[int, Callable[[], None]] = {}
        self._tokens = itertools.count(1)
        self.wiring.declare(plan)

    # --- children ---------------------------------------------------------------------------------

    def current(self, incarnation: Incarnation) -> Child | None:
        """The child that this is the current life of."""
        child = self.children.get(incarnation.stage)
        return child if child is not None and child.generation == incarnation.generation else None

    def in_order(self) -> list[Child]:
        """Every child, in start order."""
        return [self.children[stage] for stage in self.tree.in_order()]

    def _is_active(self, stage: StageId) -> bool:
        return self.children[stage].state is not ChildState.ENDED

    def add(self, spec: ChildSpec) -> Child:
        """Make room for a new child; to spawn it starts it.

        Raises:
            NoSuchStage: there is no supervisor of the name that it gives.
        """
        self.tree.add(spec)
        child = Child(spec)
        # A replica that comes again has a number of its own: no late message is taken for its.
        child.generation = self._generations.get(spec.stage.id, 0)
        child.born = child.generation + 1
        child.journal = self.unclaimed.pop(spec.stage.id, child.journal)
        self.children[spec.stage.id] = child
        return child

    def remove(self, child: Child) -> None:
        """Forget a child and its subscriptions."""
        for edge in self.wiring.of(child.id):
            self.established.reject(edge, Refused("noproc", f"{child.id} has ended"))
        self.wiring.remove(child.id)
        if self.children.pop(child.id, None) is not None:
            self.tree.remove(child.id)
            self.monitors.forget(child.id)

    def forget_if_over(self, child: Child) -> None:
        """A dynamic supervisor forgets a child that has ended for good; its name is free again."""
        known = self.children.get(child.id) is child
        if known and child.ended_for_good and self.tree.leaf(child.id).parent.dynamic is not None:
            self.remove(child)

    def refuse_if_over(self) -> None:
        """Nothing can be started in a run that is stopping.

        Raises:
            Closed: it is over or stopping.
        """
        if self.stopping or self.outcome is not None:
            raise Closed(f"the run {self.plan.name!r} is over or stopping")

    def retire(self, child: Child) -> None:
        """Forget a replica that has left; its answer still counts, and its state is kept."""
        if child.has_result:
            self._left.setdefault(child.id.name, {})[child.id.index] = child.result
        self._generations[child.id] = child.generation
        if not child.journal.empty:
            self.unclaimed[child.id] = child.journal
        self.remove(child)

    def rewire(self, child: Child) -> None:
        """Its subscriptions that are remembered are to be in place again."""
        if child.end is not None and child.end.normal:
            # It is to begin anew, and so are those that it takes from.
            child.finished = False
            for edge in self.wiring.upstream(child.id):
                self.children[edge.producer].finished = False
        for edge in self.wiring.of(child.id):
            mine = edge.declared or edge.consumer == child.id
            if edge.state is EdgeState.OVER and mine:
                edge.state = EdgeState.WANTED

    def results(self) -> dict[str, Any]:
        """What stages passed to `set_result`, by name; a list by index where there are replicas.

        Replicas that have left count too: then the list is as long as there were ever replicas.
        """
        found = {name: dict(results) for name, results in self._left.items()}
        sizes = {name: 1 + max(results) for name, results in found.items()}
        for child in self.children.values():
            name, index, replicas = child.id.name, child.id.index, child.spec.stage.replicas
            sizes[name] = max(sizes.get(name, 1), replicas, index + 1)
            if child.has_result:
                found.setdefault(name, {})[index] = child.result
        return {
            name: results[0] if sizes[name] == 1 else [results.get(i) for i in range(sizes[name])]
            for name, results in found.items()
        }

    def take_result(self, child: Child, result: bytes | None) -> None:
        """Keep the answer that a child left behind, pickled."""
        try:
            child.take_result(result)
        except Exception as error:  # noqa: BLE001
            # The user's class cannot be made again here; that must not end the others.
            said = "the stage's result cannot be read here"
            self.log(child, "error", said, error=f"{type(error).__name__}: {error}")

    # --- messages ---------------------------------------------------------------------------------

    def tell(self, child: Child, record: control.Control) -> None:
        """Send a child a control record."""
        self.send(child, control.encode_control(record))

    def send(self, child: Child, message: Message) -> None:
        """Send a child a message on its control link, if it lives."""
        if child.alive:
            self.runtime.send(child.incarnation, message)

    def when_ready(self, child: Child, message: Message) -> None:
        """Send a message now, or as soon as the child has started."""
        if child.state in (ChildState.WAITING, ChildState.STARTING):
            self._before_ready.setdefault(child.addressee, []).append(message)
        else:
            self.send(child, message)

    def take_early(self, incarnation: Incarnation) -> list[Message]:
        """The messages that waited for a child to be ready, or that its end makes pointless."""
        return self._before_ready.pop(incarnation, [])

    def cast(self, child: Child, message: Any) -> None:
        """Have `handle_cast` called."""
        body = encode_value(message)
        self.when_ready(child, Cast(0, control.USER, body.codec, body.body))

    def info(self, child: Child, message: Any) -> None:
        """Have `handle_info` called, behind what is buffered."""
        body = encode_value(message)
        self.when_ready(child, Info(0, control.USER, body.codec, body.body))

    def log(self, child: Child, level: str, said: str, **values: Any) -> None:
        """Report a log line about a child, as if it had written it itself."""
        record = control.LogRecord(level, said, values)
        self.report(StageLogged(child.incarnation, child.pid, record))

    # --- time -------------------------------------------------------------------------------------

    def after(self, seconds: float, fire: Callable[[], None]) -> None:
        """Call `fire` later."""
        token = next(self._tokens)
        self._timers[token] = fire
        self.runtime.timer(seconds, token)

    def fire(self, token: int) -> None:
        """A timer has run out."""
        fire = self._timers.pop(token, None)
        if fire is not None:
            fire()

    def abandon(self, error: BaseException) -> None:
        """Nobody need wait any more for what will not happen."""
        for waiters in (self.calls, self.established, self.ready, self.gone, self.replaced):
            waiters.reject_all(error)
