"""A dynamic supervisor of a run, in the hands of a program."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Unpack

from actorflow.errors import OptionError, Refused
from actorflow.protocol.backoff import backoff_of
from actorflow.protocol.demand import SubscriptionOptions
from actorflow.protocol.identity import StageId
from actorflow.stage.behaviour import Stage
from actorflow.supervision import dynamic, operations, subtrees
from actorflow.supervision.children import ChildInfo
from actorflow.supervision.core import SupervisorCore
from actorflow.supervision.handle import SupervisorHandle
from actorflow.supervision.specs import ChildSpec, StageSpec
from actorflow.topology.declarations import (
    Defaults,
    StageDeclaration,
    StageKeywords,
)
from actorflow.topology.planning import stage_options

__all__ = ["DynamicSupervisor"]

CALL_TIMEOUT = 5.0
START_TIMEOUT = 30.0


class DynamicSupervisor:
    """Starts children while a run goes on, and finds them again by name.

    A name means one child at a time, over all shards. A child that has ended for good is forgotten
    as soon as its process is gone, and then its name is free. As a stage it is called
    ``"supervisor.name"`` (`stage_name`), for calls, subscriptions and monitors.

    Args:
        supervisor: the run's.
        name: a dynamic supervisor, ``"jobs"``, or one shard of it, ``"jobs/1"``.

    Raises:
        NoSuchStage: there is no supervisor of that name.
        Refused: ``not_dynamic``: it is not a dynamic one.

    Example:
        >>> from actorflow import Topology
        >>> from actorflow.testing.topologies import Sink
        >>> with Topology("service").dynamic_supervisor("jobs", max_children=10).start() as run:
        ...     jobs = run.dynamic("jobs")
        ...     child = jobs.start_child("17", Sink, restart="temporary")
        ...     jobs.stage_name("17"), jobs.count_children().active
        ('jobs.17', 1)
    """

    def __init__(self, supervisor: SupervisorHandle, name: str) -> None:
        self.name = name
        self._supervisor = supervisor
        self._shards = supervisor.act(self._count_shards, CALL_TIMEOUT)

    def _count_shards(self, core: SupervisorCore) -> int:
        node = core.tree.node(self.name)
        if node.dynamic is None:
            raise Refused("not_dynamic", f"{self.name!r} has the stages of its topology")
        return len(node.shards)

    @property
    def shards(self) -> tuple[DynamicSupervisor, ...]:
        """Its shards, to be addressed directly; itself when it has one only."""
        if self._shards == 1:
            return (self,)
        names = (f"{self.name}/{index}" for index in range(self._shards))
        return tuple(DynamicSupervisor(self._supervisor, name) for name in names)

    def shard_of(self, name: str) -> int:
        """The shard in which a child of this name is started; the same one each time.

        Raises:
            OptionError: it can be no child's name.
        """
        self.stage_name(name)
        return dynamic.shard_of(name, self._shards)

    def stage_name(self, name: str) -> str:
        """What a child is called as a stage.

        Raises:
            OptionError: it can be no child's name.
        """
        return dynamic.full_name(self.name, name)

    # --- children ---------------------------------------------------------------------------------

    def start_child(
        self,
        name: str,
        use: type[Stage],
        *,
        args: Mapping[str, Any] | None = None,
        restart: str = "transient",
        shutdown: float | str = 5.0,
        start_within: float = 30.0,
        backoff: Any = None,
        timeout: float = START_TIMEOUT,
        **options: Unpack[StageKeywords],
    ) -> ChildInfo:
        """Start a child and wait until it is ready.

        Args:
            name: its name among the supervisor's children: 1 to 200 printable characters without
                ``/`` and ``#``.
            use: its class.
            args: the constructor's keyword arguments.
            restart: when it is started again.
            shutdown: seconds from being asked to stop until it is killed, from 0;
                ``"brutal_kill"`` or ``"infinity"``.
            start_within: seconds from its start until it must be ready, above 0.
            backoff: how long its restarts wait: a `Backoff` or a map of its options.
            timeout: seconds to wait for it; it goes on starting after that.
            options: fields of `StageOptions`, such as ``buffer_size``.

        Returns:
            its row.

        Raises:
            AlreadyStarted: there is a child of that name; the error has its row, as ``holder``.
            Refused: ``overloaded``: there are `max_children` already, those included that are about
                to be started again; nothing was started.
            StartFailed: it did not come up; the cause says why.
            OptionError: an argument breaks its rule.
        """
        full = self.stage_name(name)
        # The same rules as for a stage of a topology; the name of one may not have a point.
        declared = StageDeclaration(
            name="child",
            use=use,
            args=args if args is not None else {},
            restart=restart,
            shutdown=shutdown,
            start_within=start_within,
            backoff=backoff_of(backoff),
            options=dict(options),
        )
        spec = ChildSpec(
            stage=StageSpec(
                id=StageId(full),
                behaviour=use,
                arguments=dict(declared.args),
                options=stage_options(use, declared.options, Defaults()),
            ),
            restart=restart,
            shutdown=shutdown,
            start_within=start_within,
            supervisor=self.name,
            backoff=declared.backoff,
        )
        return self._supervisor.act(lambda core: operations.start_child(core, spec), timeout)

    def lookup(self, name: str) -> ChildInfo:
        """The row of the child that has a name.

        Raises:
            NoSuchStage: nobody has it.
        """
        return self._supervisor.act(
            lambda core: ChildInfo.of(dynamic.lookup(core, self.name, name)), CALL_TIMEOUT
        )

    def which_children(self) -> list[ChildInfo]:
        """A row for each child, of all shards together."""
        return self._supervisor.act(
            lambda core: [ChildInfo.of(each) for each in dynamic.children_of(core, self.name)],
            CALL_TIMEOUT,
        )

    def count_children(self) -> operations.ChildCounts:
        """How many children there are, of all shards together."""
        return self._supervisor.act(
            lambda core: operations.counts_of(dynamic.children_of(core, self.name)), CALL_TIMEOUT
        )

    def terminate_child(self, name: str, timeout: float = START_TIMEOUT) -> None:
        """Stop a child and wait until its process is gone; its name is free then.

        Raises:
            NoSuchStage: there is no such child.
        """

        def act(core: SupervisorCore) -> Any:
            child = dynamic.lookup(core, self.name, name)
            return operations.terminate_child(core, str(child.id))

        self._supervisor.act(act, timeout)

    def kill(self) -> None:
        """Kill every child, as when the supervisor dies; it begins again without any.

        That counts as one restart with the supervisor that it is in.
        """
        self._supervisor.act(lambda core: subtrees.kill_supervisor(core, self.name), CALL_TIMEOUT)

    # --- subscriptions ----------------------------------------------------------------------------

    def subscribe(
        self,
        *,
        to: str,
        options: SubscriptionOptions | None = None,
        timeout: float = CALL_TIMEOUT,
    ) -> None:
        """Subscribe every child to a stage, and every one that is started from now on.

        Each child has a subscription of its own, shard by shard. The order outlives children and
        shards: whoever is started in a shard that has begun again is subscribed as well.

        Args:
            to: the stage to take events from.
            options: demand, cancel mode and what the dispatcher wants.
            timeout: seconds to wait until all that there are now are accepted.

        Raises:
            Refused: ``not_a_producer``, or why a subscription was refused.
            NoSuchStage: there is no such stage.
        """
        chosen = options if options is not None else SubscriptionOptions()
        if not isinstance(chosen, SubscriptionOptions):
            raise OptionError("options", "SubscriptionOptions", chosen)
        self._supervisor.act(
            lambda core: dynamic.subscribe_all(core, self.name, to, chosen), timeout
        )
