"""A declared topology, and the plan that it compiles to.

A topology is a value: which stages there are, who subscribes to whom, and how failures are met. It
comes from a file (`actorflow.topology.yaml.load`) or is written down in Python::

    topology = (
        Topology("wordcount", supervisor=SupervisorOptions(strategy="rest_for_one"))
        .stage("files", StandardLibrary, args={"pattern": "**/*.py"})
        .stage("count", CountWords, replicas=2, subscribe_to=["files"])
        .stage("merge", Merge, subscribe_to=[SubscribeTo("count", max_demand=10)])
    )

Each call returns a new topology, so that a part can be shared. A wrong argument is refused where it
is passed; what can be judged only together (an unknown stage, a cycle, constructor arguments that
do not fit) is listed, all of it at once, by `Topology.problems` and refused by `Topology.plan`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import field, replace
from typing import TYPE_CHECKING, Any, Unpack

from actorflow.errors import OptionError, Problem, TopologyError
from actorflow.protocol.arguments import check_permits
from actorflow.protocol.backoff import Backoff, backoff_of
from actorflow.records import dataclass
from actorflow.stage.behaviour import Stage
from actorflow.stage.place import ProgramSource
from actorflow.supervision.specs import Plan
from actorflow.topology.declarations import (
    Defaults,
    StageDeclaration,
    StageKeywords,
    SubscribeTo,
    SupervisorDeclaration,
    SupervisorOptions,
    refuse_unless,
    refuse_unless_all,
)
from actorflow.topology.keys import TOPOLOGY

if TYPE_CHECKING:
    from actorflow.supervision.events import SupervisorEvent
    from actorflow.supervision.runtime import Runtime
    from actorflow.topology.opening import StreamKeywords
    from actorflow.topology.run import Run
    from actorflow.topology.starting import Starting
    from actorflow.topology.streams import AsyncStream, Stream

__all__ = [
    "Defaults",
    "StageDeclaration",
    "StageKeywords",
    "SubscribeTo",
    "SupervisorDeclaration",
    "SupervisorOptions",
    "Topology",
]


@dataclass(frozen=True, slots=True)
class Topology:
    """A declared set of stages and subscriptions.

    Args:
        name: letters, digits, ``_`` and ``-``, starting with a letter or ``_``.
        stages: the stages declared so far; `stage` adds one.
        supervisor: how failures are met.
        defaults: what holds where a stage says nothing itself.
        import_paths: folders that go first on the import path of every stage.
        supervisors: the supervisors declared so far; `supervise` adds one.
        checkpoint: the file that keeps snapshots, so that the same topology, started again after
            its host died, goes on from the last; None for no such file.
        permits: how many permits its processes share, by name, each from 1; see
            `actorflow.permit`.
        dead_letters: the file that events are added to which stages have given up, one JSON object
            per line; None for no such file.

    Raises:
        OptionError: an argument breaks its rule.

    Example:
        >>> from actorflow.stage.behaviour import Consumer, Producer
        >>> class Numbers(Producer): ...
        >>> class Print(Consumer): ...
        >>> topology = (
        ...     Topology("example")
        ...     .stage("numbers", Numbers, buffer_size=100)
        ...     .stage("print", Print, replicas=2, subscribe_to=["numbers"])
        ... )
        >>> [str(child.stage.id) for child in topology.plan().children]
        ['numbers/0', 'print/0', 'print/1']
    """

    name: str
    stages: tuple[StageDeclaration, ...] = field(default=(), kw_only=True)
    supervisor: SupervisorOptions = field(default_factory=SupervisorOptions, kw_only=True)
    defaults: Defaults = field(default_factory=Defaults, kw_only=True)
    import_paths: tuple[str, ...] = field(default=(), kw_only=True)
    supervisors: tuple[SupervisorDeclaration, ...] = field(default=(), kw_only=True)
    checkpoint: str | None = field(default=None, kw_only=True)
    permits: Mapping[str, int] = field(default_factory=dict, kw_only=True)
    dead_letters: str | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        TOPOLOGY.check(name=self.name)
        refuse_unless("supervisor", self.supervisor, SupervisorOptions)
        refuse_unless("defaults", self.defaults, Defaults)
        refuse_unless_all("stages", self.stages, StageDeclaration)
        refuse_unless_all("import_paths", self.import_paths, str)
        refuse_unless_all("supervisors", self.supervisors, SupervisorDeclaration)
        if self.checkpoint is not None:
            TOPOLOGY.check(checkpoint=self.checkpoint)
        check_permits(self.permits)
        if self.dead_letters is not None:
            TOPOLOGY.check(dead_letters=self.dead_letters)

    def stage(
        self,
        name: str,
        use: type[Stage] | ProgramSource,
        *,
        args: Mapping[str, Any] | None = None,
        replicas: int = 1,
        restart: str | None = None,
        shutdown: float | str | None = None,
        start_within: float | None = None,
        backoff: Backoff | Mapping[str, Any] | None = None,
        significant: bool = False,
        subscribe_to: Iterable[str | SubscribeTo | Mapping[str, Any]] | None = None,
        members: Iterable[str] | None = None,
        **options: Unpack[StageKeywords],
    ) -> Topology:
        """This topology with one more stage.

        Args:
            name: the stage's name.
            use: its class; or what `from_iterable` returns, for a source in this program.
            args: the constructor's keyword arguments.
            replicas: how many processes of it there are, from 1.
            restart: when it is started again.
            shutdown: seconds from being asked to stop until it is killed, from 0;
                ``"brutal_kill"`` to kill it at once, ``"infinity"`` to wait as long as it takes.
            start_within: seconds from its start until it must be ready, above 0.
            backoff: how long its restarts wait: a `Backoff` or a map of its options.
            significant: whether its end may shut its supervisor down (`auto_shutdown`).
            subscribe_to: the stages to take events from: names, maps with ``to``, or `SubscribeTo`.
            members: names of the producers that those who subscribe to it are joined with.
            options: fields of `StageOptions`, such as ``buffer_size``.

        Raises:
            OptionError: an argument breaks its rule.
            TopologyError: an unknown option.

        Example:
            >>> from actorflow.stage.behaviour import Producer
            >>> class Numbers(Producer): ...
            >>> Topology("example").stage("numbers", Numbers).stages[0].use.__name__
            'Numbers'
        """
        if isinstance(subscribe_to, str | Mapping | SubscribeTo) or (
            subscribe_to is not None and not isinstance(subscribe_to, Iterable)
        ):
            hint = "put it in a list"
            raise OptionError("subscribe_to", "a list of subscriptions", subscribe_to, hint)
        source = use if isinstance(use, ProgramSource) else None
        inline = {} if source is None else source.options
        if isinstance(members, str):
            raise OptionError("members", "a list of stages' names", members, "put it in a list")
        declared = StageDeclaration(
            name=name,
            use=use.behaviour if isinstance(use, ProgramSource) else use,
            source=source,
            args=args if args is not None else {},
            replicas=replicas,
            restart=restart,
            shutdown=shutdown,
            start_within=start_within,
            backoff=backoff_of(backoff),
            significant=significant,
            subscribe_to=None if subscribe_to is None else tuple(map(SubscribeTo.of, subscribe_to)),
            members=None if members is None else tuple(members),
            options={**inline, **options},
        )
        return replace(self, stages=(*self.stages, declared))

    def supervise(
        self,
        name: str,
        stages: Iterable[str] = (),
        *,
        inside: str | None = None,
        strategy: str = "one_for_one",
        order: str = "together",
        max_restarts: int = 3,
        max_seconds: float = 5.0,
        auto_shutdown: str = "never",
        restart: str = "transient",
        significant: bool = False,
        backoff: Backoff | Mapping[str, Any] | None = None,
    ) -> Topology:
        """This topology with a supervisor of its own for some of its stages.

        When its stages end badly more often than it allows, it stops those that run and ends, and
        whoever it is inside treats that as the end of a child. Events flow across supervisors as if
        there were none.

        Args:
            name: the supervisor's name, unlike any stage's.
            stages: the names of the stages that it looks after.
            inside: the supervisor that it is a child of; None for the run's own.
            strategy: which of its children are restarted when one ends badly.
            order: how its children start and stop: ``"together"`` or ``"one_by_one"``.
            max_restarts: with more restarts than this within `max_seconds` it gives up, from 0.
            max_seconds: the time that `max_restarts` is about, above 0.
            auto_shutdown: whether it shuts down when a significant child has ended for good.
            restart: when it is started again itself.
            significant: whether its own end may shut down the supervisor that it is in.
            backoff: how long its restarts wait.

        Raises:
            OptionError: an argument breaks its rule.

        Example:
            >>> from actorflow.stage.behaviour import Producer
            >>> class Numbers(Producer): ...
            >>> topology = (
            ...     Topology("example")
            ...     .stage("numbers", Numbers)
            ...     .supervise("sources", ["numbers"], strategy="one_for_all")
            ... )
            >>> topology.plan().children[0].supervisor
            'sources'
        """
        if isinstance(stages, str | Mapping) or not isinstance(stages, Iterable):
            raise OptionError("stages", "a list of stages", stages, "put it in a list")
        declared = SupervisorDeclaration(
            name=name,
            stages=tuple(stages),
            inside=inside,
            strategy=strategy,
            order=order,
            max_restarts=max_restarts,
            max_seconds=max_seconds,
            auto_shutdown=auto_shutdown,
            restart=restart,
            significant=significant,
            backoff=backoff_of(backoff),
        )
        return replace(self, supervisors=(*self.supervisors, declared))

    def dynamic_supervisor(
        self,
        name: str,
        *,
        max_children: int | None = None,
        shards: int = 1,
        inside: str | None = None,
        max_restarts: int = 3,
        max_seconds: float = 5.0,
        restart: str = "transient",
        significant: bool = False,
    ) -> Topology:
        """This topology with a supervisor whose children are started while the run goes on.

        `Run.dynamic` gives it into a program's hands. A run that has one does not end by itself
        when all stages have ended: more may come.

        Args:
            name: the supervisor's name, unlike any stage's.
            max_children: how many children there may be at once, from 1; None for no limit.
            shards: how many parts it has, from 1, each with `max_restarts` of its own.
            inside: the supervisor that it is a child of; None for the run's own.
            max_restarts: with more restarts than this within `max_seconds` it gives up, from 0.
            max_seconds: the time that `max_restarts` is about, above 0.
            restart: when it is started again itself; it begins without children then.
            significant: whether its own end may shut down the supervisor that it is in.

        Raises:
            OptionError: an argument breaks its rule.

        Example:
            >>> Topology("example").dynamic_supervisor("jobs", max_children=3).supervisors[0].name
            'jobs'
        """
        declared = SupervisorDeclaration(
            name=name,
            inside=inside,
            max_restarts=max_restarts,
            max_seconds=max_seconds,
            restart=restart,
            significant=significant,
            dynamic=True,
            max_children=max_children,
            shards=shards,
        )
        return replace(self, supervisors=(*self.supervisors, declared))

    def problems(self) -> list[Problem]:
        """Every mistake that shows only when the stages are seen together; an empty list is good.

        Example:
            >>> from actorflow.stage.behaviour import Consumer, Producer
            >>> class Numbers(Producer): ...
            >>> class Print(Consumer): ...
            >>> topology = Topology("example").stage("numbers", Numbers)
            >>> print(*topology.stage("print", Print, subscribe_to=["numbrs"]).problems())
            stages.print.subscribe_to.0.to: unknown stage 'numbrs'; did you mean 'numbers'?
        """
        from actorflow.topology.check import problems_of

        return problems_of(self)

    def plan(self) -> Plan:
        """What the supervisor is given.

        Raises:
            TopologyError: there are mistakes; it lists all of them.
        """
        from actorflow.topology.planning import plan_of

        problems = self.problems()
        if problems:
            raise TopologyError(problems)
        return plan_of(self)

    def runtime(self, *, stdout_to_stderr: bool = False) -> Runtime:
        """A new local runtime for this topology, not opened yet.

        Args:
            stdout_to_stderr: whether what stages print goes to standard error.
        """
        from actorflow.runtime.local.runtime import LocalRuntime

        plan = self.plan()
        return LocalRuntime(
            import_paths=plan.import_paths,
            preload=plan.preload,
            stdout_to_stderr=stdout_to_stderr,
            permits=self.permits,
        )

    def start(self, listener: Callable[[SupervisorEvent], None] | None = None) -> Run:
        """Start every stage; returns at once.

        Args:
            listener: is told of every event of the supervisor, from its thread.

        Raises:
            TopologyError: there are mistakes; it lists all of them.
        """
        from actorflow.topology.run import Run

        return Run(self.plan(), self.runtime(), listener)

    def astart(self, listener: Callable[[SupervisorEvent], None] | None = None) -> Starting:
        """Start every stage from a coroutine, without blocking its event loop.

        `start` blocks for as long as it takes to start a process, some milliseconds.

        Args:
            listener: is told of every event of the supervisor, from its thread.

        Returns:
            something to ``await`` for the run, or to use with ``async with``.

        Raises:
            TopologyError: there are mistakes; it lists all of them.

        Example::

            async with topology.astart() as run:
                results = await run.wait_async(timeout=60)
        """
        from actorflow.topology.run import Run
        from actorflow.topology.starting import Starting

        # An asynchronous iterable is bound to the loop that runs here, and not in another thread.
        plan = self.plan()
        return Starting(lambda: Run(plan, self.runtime(), listener))

    def stream(self, stage: str, **options: Unpack[StreamKeywords]) -> Stream:
        """Start every stage, and iterate over the events of one; nothing else has to be closed.

        As `Run.stream`, but the stream is there from the beginning, so that also a stage that
        broadcasts waits for it. At its end it waits for the rest of the run, whose error it raises;
        when it is closed or let go of before, the run is stopped.

        Args:
            stage: its name; all its replicas are meant.
            options: those of `StreamKeywords`, such as ``max_demand``.

        Raises:
            OptionError: an option breaks its rule.
            TopologyError: there are mistakes in the topology; it lists all of them.
            NoSuchStage: there is no stage of that name.
            Refused: ``not_a_producer``.

        Example:
            >>> from actorflow import ProducerConsumer, from_iterable
            >>> class Double(ProducerConsumer):
            ...     def handle_events(self, events, subscription):
            ...         return [2 * event for event in events]
            >>> topology = (
            ...     Topology("doubles")
            ...     .stage("numbers", from_iterable(range(4)))
            ...     .stage("double", Double, subscribe_to=["numbers"])
            ... )
            >>> list(topology.stream("double"))
            [0, 2, 4, 6]
        """
        from actorflow.topology.opening import stream_options, whole_run, with_stream
        from actorflow.topology.run import Run
        from actorflow.topology.streams import Stream

        plan, outlet = with_stream(self.plan(), stage, stream_options(stage, options))
        run = Run(plan, self.runtime())
        return Stream(run, run.handle, stage, whole_run(run, outlet), owns_run=True)

    def astream(self, stage: str, **options: Unpack[StreamKeywords]) -> AsyncStream:
        """As `stream`, for ``async for``.

        Example::

            async for event in topology.astream("double"):
                print(event)
        """
        from actorflow.topology.opening import stream_options, whole_run, with_stream
        from actorflow.topology.run import Run
        from actorflow.topology.streams import AsyncStream

        plan, outlet = with_stream(self.plan(), stage, stream_options(stage, options))
        run = Run(plan, self.runtime())
        return AsyncStream(run, run.handle, stage, whole_run(run, outlet), owns_run=True)
