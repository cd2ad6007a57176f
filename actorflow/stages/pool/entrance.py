"""What comes into a pool from outside: asked for, submitted, or too late. Pure decisions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from actorflow.errors import AdmissionFull, PoolClosed
from actorflow.stages.pool.admission import Admission, Admitted, Submission
from actorflow.stages.pool.lifecycle import QueryRun
from actorflow.stages.pool.roots import Done

__all__ = ["Entrance"]


class Entrance:
    """The way into a pool: who may bring how much, and who has to wait or is refused.

    Args:
        admission: where tasks wait for a worker, and submissions for room.
        queries: those that have not ended, by number.
        deal: gives workers what there is for them.
        log: writes a log line.
    """

    def __init__(
        self,
        admission: Admission,
        queries: Mapping[int, QueryRun],
        deal: Callable[[], None],
        log: Callable[[str, str, dict[str, Any]], None],
    ) -> None:
        self._admission = admission
        self._queries = queries
        self._deal = deal
        self._log = log
        self.late = 0
        """How many events have come that no query took any more."""

    # --- what was asked for -----------------------------------------------------------------------

    @property
    def share(self) -> int:
        """How many tasks of each query may wait for a worker."""
        return self._admission.share

    def room(self, run: QueryRun) -> int:
        """How many more tasks of a query may be admitted now; more may be asked for."""
        return 0 if run.number not in self._queries else self._admission.room(run.number)

    def waiting(self, run: QueryRun) -> int:
        """How many tasks of a query are admitted and wait for a worker."""
        return self._admission.count_of(run.number)

    def admit(self, run: QueryRun, pipeline: int, items: Sequence[Any], done: Done) -> None:
        """Take tasks that were asked for: there is room. When it takes no more they are late.

        Args:
            run: the query.
            pipeline: for which of its pipelines.
            items: what they are about.
            done: is told of each, of several at a time, when what descends from it is done.
        """
        if not run.takes(pipeline):
            self.too_late(len(items))
            done("expired", len(items))
            return
        self._add(run, pipeline, list(items), done)
        self._deal()

    def too_late(self, count: int) -> None:
        """So many events have come that no query takes any more: they are counted, and that is all.

        Args:
            count: how many, from 1.
        """
        self.late += count
        said = "events came that no query takes any more"
        self._log("warning", said, {"events": count, "in_all": self.late})

    # --- what nobody asked for --------------------------------------------------------------------

    def submit(self, run: QueryRun, submission: Submission, *, wait: bool) -> bool:
        """Take a task that nobody asked for: at once, when there is room, or not.

        Returns:
            whether it is admitted already.

        Raises:
            PoolClosed: the query takes no more.
            AdmissionFull: there is no room, and it is not to wait.
        """
        if not run.takes(submission.pipeline):
            raise PoolClosed(f"query {run.query.name!r} takes no more tasks")
        if self._admission.room(run.number):
            self.admitted(run, submission)
            self._deal()
            return True
        if not wait:
            raise AdmissionFull(run.query.name, self._admission.count_of(run.number))
        self._admission.wait(submission)
        return False

    def give_up(self, submission: Submission) -> None:
        """Who submitted this waits no more; it is refused unless it was admitted before."""
        if self._admission.leave(submission):
            run = self._queries[submission.query]
            count = self._admission.count_of(run.number)
            submission.refused(AdmissionFull(run.query.name, count))

    def admitted(self, run: QueryRun, submission: Submission) -> None:
        """There is room for what was submitted: it is a task from now on."""
        self._add(
            run,
            submission.pipeline,
            [submission.item],
            lambda how, count: submission.done(how),
        )
        submission.admitted()

    def refuse(self, run: QueryRun) -> None:
        """Refuse the submissions that wait for what takes no more."""
        for submission in self._admission.close(run.number, run.takes):
            submission.refused(PoolClosed(f"query {run.query.name!r} takes no more tasks"))

    # --- within -----------------------------------------------------------------------------------

    def _add(self, run: QueryRun, pipeline: int, items: list[Any], done: Done) -> None:
        """Tasks of a query, each the root of what it will make."""
        run.admitted += len(items)
        first = run.roots.add(len(items), done)
        self._admission.add(run.number, Admitted(pipeline, first, items))
        run.count({pipeline: len(items)})
