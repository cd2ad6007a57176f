"""The children and supervisors of a run: who there is, and starting and stopping them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from actorflow.protocol.arguments import (
    check_instance,
    check_text,
)
from actorflow.supervision import operations, subtrees
from actorflow.supervision.children import ChildInfo
from actorflow.supervision.consumer_calls import ConsumerSupervisorHandle
from actorflow.supervision.specs import ChildSpec
from actorflow.supervision.subtrees import SupervisorInfo
from actorflow.topology.dynamic import DynamicSupervisor
from actorflow.topology.part import CALL_TIMEOUT, RunPart

if TYPE_CHECKING:
    from actorflow.stages.pool.calls import TaskPoolHandle
    from actorflow.topology.batcher import Batcher

__all__ = ["RunningChildren"]


class RunningChildren(RunPart):
    """The part of a `Run` that is about its children and supervisors."""

    def which_children(self) -> list[ChildInfo]:
        """A row for each child, in start order."""
        return self._supervisor.act(operations.which_children, CALL_TIMEOUT)

    def count_children(self) -> operations.ChildCounts:
        """How many children there are, live and restarting."""
        return self._supervisor.act(operations.count_children, CALL_TIMEOUT)

    def start_child(self, spec: ChildSpec, timeout: float = 30.0) -> ChildInfo:
        """Start a new child and wait until it is ready.

        Raises:
            Refused: ``already_started``.
            StartFailed: it did not come up; the cause says why.
        """
        check_instance("spec", spec, ChildSpec)
        return self._supervisor.act(lambda core: operations.start_child(core, spec), timeout)

    def terminate_child(self, stage: str, timeout: float = 30.0) -> None:
        """Stop a child and wait until its process is gone."""
        self._supervisor.act(lambda core: operations.terminate_child(core, stage), timeout)

    def restart_child(self, stage: str, timeout: float = 30.0) -> ChildInfo:
        """Start an ended child again; its declared subscriptions come back by themselves."""
        return self._supervisor.act(lambda core: operations.restart_child(core, stage), timeout)

    def delete_child(self, stage: str) -> None:
        """Forget an ended child."""
        self._supervisor.act(lambda core: operations.delete_child(core, stage), CALL_TIMEOUT)

    def consumer_supervisor(self, stage: str) -> ConsumerSupervisorHandle:
        """The operations of a `ConsumerSupervisor` in this run: its children, by hand.

        Args:
            stage: the stage's name, or ``"name/index"``.
        """
        return ConsumerSupervisorHandle(self._caller(stage))

    def task_pool(self, stage: str) -> TaskPoolHandle:
        """The operations of a `actorflow.stages.pool.TaskPool` in this run.

        Args:
            stage: the stage's name, or ``"name/index"``.
        """
        from actorflow.stages.pool.calls import TaskPoolHandle

        return TaskPoolHandle(self._caller(stage))

    def _caller(self, stage: str) -> Callable[[Any, float], Any]:
        """What calls a stage: request, seconds."""
        check_text("stage", stage)
        return lambda request, timeout: self._supervisor.act(
            lambda core: operations.call(core, stage, request), timeout
        )

    def batcher(self, stage: str) -> Batcher:
        """The handle of a `BatcherServer` in this run; closing it does not end the run.

        Args:
            stage: the stage's name, or ``"name/index"``.
        """
        check_text("stage", stage)
        from actorflow.topology.batcher import Batcher

        return Batcher(self._supervisor, stage)

    # --- supervisors ------------------------------------------------------------------------------

    def which_supervisors(self) -> list[SupervisorInfo]:
        """A row for each supervisor, each before those inside it, the run's own first."""
        return self._supervisor.act(subtrees.which_supervisors, CALL_TIMEOUT)

    def terminate_supervisor(self, name: str, timeout: float = 30.0) -> None:
        """Stop a supervisor and every stage below it, and wait until their processes are gone.

        Raises:
            NoSuchStage: there is no such supervisor.
        """
        self._supervisor.act(lambda core: subtrees.terminate_supervisor(core, name), timeout)

    def restart_supervisor(self, name: str) -> None:
        """Start a supervisor that has ended, and every stage below it.

        Raises:
            Refused: ``running``: it has not ended.
        """
        self._supervisor.act(lambda core: subtrees.restart_supervisor(core, name), CALL_TIMEOUT)

    def kill_supervisor(self, name: str) -> None:
        """Kill every process below a supervisor; its parent decides, as if it had given up.

        Raises:
            Refused: ``noproc``: it has ended.
        """
        self._supervisor.act(lambda core: subtrees.kill_supervisor(core, name), CALL_TIMEOUT)

    def dynamic(self, name: str) -> DynamicSupervisor:
        """A dynamic supervisor of the topology, to start children with.

        Raises:
            NoSuchStage: there is no supervisor of that name.
            Refused: ``not_dynamic``: it is not a dynamic one.
        """
        return DynamicSupervisor(self._supervisor, name)
