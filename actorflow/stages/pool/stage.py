"""The stages that run tasks in a pool of workers: `TaskPool` and its sibling without consumers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from functools import partial
from typing import Any, Literal

from actorflow.errors import ActorflowError, OptionError
from actorflow.protocol.reasons import is_normal
from actorflow.records import dataclass
from actorflow.stage.behaviour import Consumer, ProducerConsumer, Subscription
from actorflow.stage.calls import LATER, Sender
from actorflow.stage.children import ChildEnd, ChildEnded, ChildKind, ChildTemplate
from actorflow.stage.held import HeldBatch
from actorflow.stages.pool.admission import Submission
from actorflow.stages.pool.calls import Look, StartQuery, StopQuery, Submit, Ticket
from actorflow.stages.pool.core import PoolCore, PoolOwner
from actorflow.stages.pool.intake import Intake, entry_of
from actorflow.stages.pool.lifecycle import QueryResult, QueryRun
from actorflow.stages.pool.options import InFlight, MemoryBudget, PoolOptions
from actorflow.stages.pool.outcomes import Outcomes
from actorflow.stages.pool.overflow import SpillFile
from actorflow.stages.pool.query import Query
from actorflow.stages.pool.slices import Slice
from actorflow.stages.pool.worker import run_slice

__all__ = ["ConsumerTaskPool", "TaskPool"]


@dataclass(frozen=True, slots=True)
class _OutputsLeft:
    """To itself: so many events of a query have been taken by consumers."""

    query: int
    count: int


class _Pool(Consumer):
    """What both pools share: the core, its workers, and what it has to do with batches."""

    finishes_later = True
    _core: PoolCore

    def __init__(
        self,
        queries: Sequence[Query | Mapping[str, Any]] = (),
        *,
        workers: int | None = None,
        admission_size: int = 1000,
        internal_soft_limit: int = 10_000,
        internal_bytes_limit: int = 256 << 20,
        on_overflow: Literal["inline", "spill", "fail_query"] = "inline",
        output_size: int = 1000,
        deal: Literal["local", "global", "round_robin", "choose_two"] = "local",
        steal: Literal["idle", "none"] = "idle",
        fair: bool = False,
        max_inline_depth: int = 64,
        memory: MemoryBudget | Mapping[str, Any] | None = None,
        in_flight: InFlight | Mapping[str, Any] | None = None,
    ) -> None:
        self.queries = _queries(queries)
        self.options = PoolOptions(
            workers=workers,
            admission_size=admission_size,
            internal_soft_limit=internal_soft_limit,
            internal_bytes_limit=internal_bytes_limit,
            on_overflow=on_overflow,
            output_size=output_size,
            deal=deal,
            steal=steal,
            fair=fair,
            max_inline_depth=max_inline_depth,
            memory=memory,  # type: ignore[arg-type]  # a map becomes one
            **({} if in_flight is None else {"in_flight": in_flight}),  # type: ignore[arg-type]
        )
        self._template = ChildTemplate(run=run_slice, workers=self.options.workers)
        self._spill = SpillFile()
        self._queries: dict[str, QueryRun] = {}
        """Those that have not ended, by name."""
        self._outcomes = Outcomes()
        self._end: HeldBatch | None = None

    @classmethod
    def check_arguments(cls, arguments: Mapping[str, Any]) -> None:
        """Refuse options and queries that break a rule where the topology is declared."""
        super().check_arguments(arguments)
        known = {each.name for each in fields(PoolOptions)}
        given = {key: value for key, value in arguments.items() if key in known}
        if given.get("in_flight", True) is None:
            del given["in_flight"]
        PoolOptions(**given)
        _queries(arguments.get("queries", ()))

    # --- callbacks --------------------------------------------------------------------------------

    def on_start(self) -> None:
        """Fork the workers, and start the queries that were declared."""
        running = self._running()
        workers = self._template.at_once
        self._children = running.children(ChildKind("worker", workers, waiting=1), self._observe)
        owner = PoolOwner(
            now=running.now,
            after=self._after,
            run=self._run_slice,
            kill=self._kill,
            emit=self._outputs,
            spill=self._spill,
            log=running.log_record,
        )
        self._core = PoolCore(workers, self.options, owner)
        self._intake = Intake(
            self._core.entrance, self._queries, self.options.in_flight, self.ask, running.after
        )
        for query in self.queries:
            self._start(query)

    def handle_subscribe(
        self, side: str, options: Mapping[str, Any], subscription: Subscription
    ) -> str | None:
        """A producer's events are asked for as there is room for tasks."""
        if side != "producer":
            return None
        if not any(entry_of(query, subscription.stage) for query in self.queries):
            rule = f"queries of which one takes the events of {subscription.stage!r}"
            raise OptionError("queries", rule, [query.name for query in self.queries])
        self._intake.open(subscription)
        self._settle()
        return "manual"

    def handle_cancel(self, reason: Any, subscription: Subscription) -> None:
        """A producer is gone; when it has ended, and no other of its name is left, so has a source.

        One that fell may be started again, and goes on.
        """
        self._intake.close(subscription)
        if subscription.side != "producer" or not is_normal(reason[1]):
            return
        if self._running().awaits(subscription.stage, besides=subscription):
            return
        for run in list(self._queries.values()):
            if subscription.stage in run.query.sources:
                self._core.end_source(run, subscription.stage)
        self._settle()

    def handle_events(self, events: list[Any], subscription: Subscription) -> Any:
        """Each event becomes a task of every query that takes it; it is finished with the last."""
        self._intake.take(events, subscription, self.later())
        self._settle()
        return LATER

    def handle_info(self, message: Any) -> Any:
        """Outputs have left; anything else is for a subclass."""
        if not isinstance(message, _OutputsLeft):
            return super().handle_info(message)
        run = self._core.queries.get(message.query)
        if run is not None:
            self._core.outputs_left(run, message.count)
            self._settle()
        return None

    def handle_call(self, request: Any, sender: Sender) -> Any:
        """Answer the operations of `TaskPoolHandle`; a subclass may answer others."""
        operation = _OPERATIONS.get(type(request))
        if operation is None:
            return super().handle_call(request, sender)
        try:
            answer = operation(self, request, sender)
        except ActorflowError as error:
            # The caller's mistake, or want of room: no reason to end.
            sender.fail(error)
            return LATER
        self._settle()
        return answer

    def on_end(self) -> Any:
        """No producer is left: every query stops, and what its pipelines' stops emit leaves."""
        self._end = self.later()
        for run in list(self._queries.values()):
            self._core.stop(run)
        self._settle()
        return LATER

    def on_stop(self, reason: Any) -> Any:
        """End the workers; what they had in hand is delivered again, where that is promised."""
        self._children.close()
        self._spill.close()

    # --- operations -------------------------------------------------------------------------------

    def _submit(self, request: Submit, sender: Sender) -> Any:
        run = self._find(request.query)
        name = run.query.entry if request.pipeline is None else request.pipeline
        until_done = request.until == "done"
        submission = Submission(
            query=run.number,
            pipeline=run.query.index(name),
            item=request.item,
            admitted=lambda: (
                None if until_done else sender.reply(Ticket(request.query, "admitted"))
            ),
            refused=sender.fail,
            done=lambda how: sender.reply(Ticket(request.query, how)),
        )
        admitted = self._core.entrance.submit(run, submission, wait=request.timeout != 0)
        if request.timeout and not admitted:
            self._after(request.timeout, partial(self._core.entrance.give_up, submission))
        return LATER

    def _start_query(self, request: StartQuery, sender: Sender) -> QueryResult:
        if request.query.name in self._queries:
            raise OptionError("name", "one that no running query has", request.query.name)
        return self._start(request.query).result()

    def _stop_query(self, request: StopQuery, sender: Sender) -> Any:
        run = self._queries.get(request.query)
        if run is None:
            return self._outcomes.result(request.query)
        run.ended.append(sender.reply)
        self._core.stop(run, request.mode, request.deadline)
        return LATER

    def _look(self, request: Look, sender: Sender) -> Any:
        if request.query is None:
            return self._core.stats()
        run = self._queries.get(request.query)
        return self._outcomes.result(request.query) if run is None else run.result()

    # --- queries ----------------------------------------------------------------------------------

    def _start(self, query: Query) -> QueryRun:
        run = self._core.start(query, lambda result: self._query_ended(run, result))
        if not run.over:
            self._queries[query.name] = run
        return run

    def _query_ended(self, run: QueryRun, result: QueryResult) -> None:
        self._queries.pop(result.name, None)
        self._outcomes.add(run, result)

    def _find(self, name: str) -> QueryRun:
        run = self._queries.get(name)
        if run is None:
            known = ", ".join(self._queries) or "none"
            raise OptionError("query", f"the name of a running query ({known})", name)
        return run

    # --- within -----------------------------------------------------------------------------------

    def _outputs(self, query: int, events: list[Any]) -> None:
        """A consumer has no use for them."""
        self._core.outputs_left(self._core.queries[query], len(events))

    def _run_slice(self, worker: int, definition: bytes, slice_: Slice) -> None:
        self._children.start(slice_.number, self._template, (definition, slice_.to_wire()))

    def _kill(self, number: int) -> None:
        self._children.signal(number, "kill")

    def _observe(self, endings: Sequence[ChildEnded]) -> None:
        for each in endings:
            self._slice_over(each.life, each.end)
        self._settle()

    def _slice_over(self, number: int, end: ChildEnd) -> None:
        if end.normal and end.result is not None:
            self._core.reported(number, end.result)
        else:
            self._core.crashed(number, str(end.reason), end.failure)

    def _after(self, seconds: float, callback: Callable[[], None]) -> None:
        def act() -> None:
            callback()
            self._settle()

        self._running().after(seconds, act)

    def _settle(self) -> None:
        """What follows from anything that happened: credit, asks, the end."""
        self._intake.settle()
        if self._queries:
            return
        if self._end is not None:
            end, self._end = self._end, None
            self.set_result(self._outcomes.as_data())
            end.finished()
        self._outcomes.raise_if_all_failed(query.name for query in self.queries)


_OPERATIONS: dict[type, Callable[[_Pool, Any, Sender], Any]] = {
    Submit: _Pool._submit,
    StartQuery: _Pool._start_query,
    StopQuery: _Pool._stop_query,
    Look: _Pool._look,
}


class ConsumerTaskPool(_Pool):
    """A `TaskPool` at the end of a pipeline: what its queries emit to nobody is counted, no more.

    Arguments are those of `TaskPool`.

    Example:
        >>> ConsumerTaskPool([{"name": "negate", "pipelines": {"negate": "operator:neg"}}]).queries
        [Query(name='negate', ...)]
    """


class TaskPool(_Pool, ProducerConsumer):
    """Runs queries, graphs of pipelines, in a pool of workers that never wait for room.

    Each event of its producers becomes a task. A task may make any number of others. What a worker
    makes it runs itself, until others have nothing to do. An event is finished when everything that
    descends from it is. What a pipeline that leads nowhere emits is an event of this stage.

    Args:
        queries: the queries to start with: `Query`, or maps of its fields.
        workers: how many worker processes, from 1; None for one per processor.
        admission_size: how many tasks from outside may wait for a worker, from 1; each query may
            have an equal share of it.
        internal_soft_limit: while so many tasks that tasks have made wait, from 1, none from
            outside is begun; shared by queries as well.
        internal_bytes_limit: and while they take more than so many bytes, from 1.
        on_overflow: what is done past that limit: ``"inline"``: nothing more, workers run what
            there is; ``"spill"``: tasks go to a file; ``"fail_query"``: the query that has most of
            them ends with `QueryShed`.
        output_size: while so many events of a query wait for demand, from 1, none of its tasks
            from outside is begun.
        deal: who runs what a task makes: ``"local"``: its own worker; ``"global"``: any;
            ``"round_robin"``: each in turn; ``"choose_two"``: of two the one with less to do.
        steal: ``"idle"``: a worker with nothing else to do takes from the one with the most;
            ``"none"``: it does not.
        fair: run the oldest tasks first, instead of the newest, which keeps fewer of them.
        max_inline_depth: how many generations a worker runs in place, from 1, before others have
            their turn.
        memory: a `MemoryBudget` for what tasks reserve, or a map of its fields, or None.
        in_flight: an `InFlight`, or a map of its fields: how many events of one producer may be
            unfinished, when its subscription's `max_demand` does not say; None for 64, and up to
            4096 when tasks are cheap.

    Raises:
        OptionError: an argument breaks its rule.

    Example:
        >>> TaskPool([{"name": "negate", "pipelines": {"negate": "operator:neg"}}], deal="any")
        Traceback (most recent call last):
        ...
        actorflow.errors.OptionError: deal must be one of local, global, round_robin, choose_two, \
got 'any'
    """

    def _outputs(self, query: int, events: list[Any]) -> None:
        self.emit(events)
        self.send_behind(_OutputsLeft(query, len(events)))


def _queries(given: Any) -> list[Query]:
    if isinstance(given, str | Mapping) or not isinstance(given, Sequence):
        raise OptionError("queries", "a list of Query, or of maps of its fields", given)
    queries = [Query.of(each) for each in given]
    names = [query.name for query in queries]
    if len(set(names)) != len(names):
        raise OptionError("queries", "a list of queries with different names", names)
    return queries
