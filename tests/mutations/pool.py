"""Breaks of the task pool: waits, queues, stops, counters, control."""

from __future__ import annotations

from tests.mutations.table import Edit, Mutation

__all__ = ["MUTATIONS"]

POOL = "actorflow/stages/pool"
TESTS = "tests/systems/test_pool"


def _idle_below(limit: str) -> tuple[Edit, Edit]:
    """A worker gets nothing more until there is room for what its last slice has made."""
    room = f"self._queues.count + self._admission.count < {limit}"
    return (
        Edit(
            f"{POOL}/scheduling.py",
            "        if not self._slices_at[hand.worker]:\n",
            f"        if not self._slices_at[hand.worker] and {room}:\n",
        ),
        Edit(
            f"{POOL}/scheduling.py",
            "            if not self.idle and self._all_are_short:\n",
            f"            if not self.idle and self._all_are_short and {room}:\n",
        ),
    )


MUTATIONS = [
    Mutation(
        "M10",
        "a worker waits for room in the internal queue",
        _idle_below("self._options.internal_soft_limit"),
        (f"{TESTS}_queues.py::test_b_01_a_task_may_make_more_tasks_than_there_is_room_for",),
    ),
    Mutation(
        "M11",
        "one bound for tasks from inside and from outside",
        (
            *_idle_below("self._options.admission_size"),
            Edit(
                f"{POOL}/entrance.py",
                "        if self._admission.room(run.number):\n",
                "        if self._admission.room(run.number) > self.inside():\n",
            ),
            Edit(
                f"{POOL}/core.py",
                '        """Where tasks from outside come in."""\n',
                "        self.entrance.inside = lambda: self._queues.count\n",
            ),
        ),
        (
            f"{TESTS}_queues.py::test_b_02_sources_wait_and_workers_never_do",
            f"{TESTS}_queues.py::test_b_03_more_out_than_in_and_more_in_than_room",
        ),
    ),
    Mutation(
        "M12",
        "a stop whose tasks are not done is queued again at once, before them",
        (
            Edit(
                f"{POOL}/lifecycle.py",
                "        if pipeline.stopping or pipeline.inputs or pipeline.pending:\n",
                "        if pipeline.stopping or pipeline.inputs:\n",
            ),
            Edit(
                f"{POOL}/scheduling.py",
                "            if not job.run.dropped:\n",
                "            if not job.run.dropped:\n"
                "                run = job.run\n"
                '                if job.verb == "stop" and run.pipelines[job.pipeline].pending:\n'
                "                    self.control.append(job)\n"
                "                    self._hand_over(worker, run, self._slice(run, RUN), None)\n"
                "                    return True\n",
            ),
        ),
        (f"{TESTS}_stopping.py::test_b_04_a_stop_waits_for_tasks_that_are_not_yet_inside",),
    ),
    Mutation(
        "M13",
        "stops that wait count as tasks inside",
        (
            Edit(
                f"{POOL}/scheduling.py",
                "        internal = self._queues.count_of(run.number)\n",
                "        internal = self._queues.count_of(run.number)\n"
                "        internal += sum(each.parked_stops for each in self._turns)\n",
            ),
        ),
        (f"{TESTS}_stopping.py::test_b_05_many_parked_stops_do_not_close_the_way_in",),
    ),
    Mutation(
        "M14a",
        "tasks that expire are still counted as pending",
        (
            Edit(
                f"{POOL}/lifecycle.py",
                "            each.pending = 0\n",
                "            assert each.pending >= 0\n",
            ),
        ),
        (f"{TESTS}_limits.py::test_b_22_a_dead_worker_fails_the_query_whose_tasks_it_had",),
    ),
    Mutation(
        "M14b",
        "what a dead worker had in hand is never taken back",
        (
            Edit(
                f"{POOL}/core.py",
                "                self._run_again(run, hand)\n",
                "                assert hand\n",
            ),
        ),
        (
            f"{TESTS}_limits.py::"
            "test_b_22_tasks_that_may_run_twice_are_run_again_and_the_stop_comes",
        ),
    ),
    Mutation(
        "M15",
        "a child is called by its parent, and not put into a list",
        (
            Edit(
                f"{POOL}/worker.py",
                "        if depth <= self.order.depth:\n"
                "            self._local.append((task, depth))\n"
                "        else:\n"
                "            self._beyond.append(task)\n\n"
                "    def _again",
                "        self._perform(task, depth)\n\n    def _again",
            ),
        ),
        (f"{TESTS}_queues.py::test_b_23_a_deep_chain_needs_no_stack_and_lets_others_through",),
    ),
    Mutation(
        "M16",
        "when memory is short every query is shed",
        (
            Edit(
                f"{POOL}/core.py",
                "            self._shed(self.queries[victim], held, self._parked.limit)\n",
                "            for run in list(self.queries.values()):\n"
                "                self._shed(run, held, self._parked.limit)\n",
            ),
        ),
        (f"{TESTS}_limits.py::test_b_21_the_modest_query_delivers_throughout",),
    ),
    Mutation(
        "M17",
        "starts and stops wait in line with tasks",
        (
            Edit(
                f"{POOL}/scheduling.py",
                "        while self.control:\n",
                "        while self.control and not self._queues.count + self._admission.count:\n",
            ),
        ),
        (
            f"{TESTS}_stopping.py::test_b_16_a_stop_does_not_queue_behind_data",
            f"{TESTS}_stopping.py::test_b_16_a_start_does_not_either",
        ),
    ),
]
