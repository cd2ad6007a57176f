"""Breaks of the batcher: M18 to M24."""

from __future__ import annotations

from tests.mutations.table import Edit, Mutation

__all__ = ["MUTATIONS"]

CORE = "actorflow/stages/batcher/core.py"
LINES = "actorflow/stages/batcher/lines.py"
POLICIES = "actorflow/stages/batcher/policies.py"
TESTS = "tests/systems/test_batcher_core.py::"

MUTATIONS = [
    Mutation(
        "M18",
        "a stale timer is taken for that of whatever batch waits now",
        (
            Edit(
                CORE,
                "                batch = self._lines.queued.get(timer.batch)\n",
                "                batch = next(iter(self._lines.queued.values()), None)\n",
            ),
        ),
        (TESTS + "test_c_12_a_stale_timer_means_nothing",),
    ),
    Mutation(
        "M19",
        "a batch that acquires resources may start when capacity comes, also when it will fail",
        (
            Edit(
                LINES,
                "            if batch.phase is Phase.QUEUED:\n                trigger",
                "            if batch.items:\n                trigger",
            ),
        ),
        (TESTS + "test_c_19_a_batch_whose_acquisition_fails_is_never_processed",),
    ),
    Mutation(
        "M20",
        "it leaves although items wait behind a full queue",
        (
            Edit(
                LINES,
                "        if state.idle:\n",
                "        if not (state.queue or state.processing or state.acquiring):\n",
            ),
            Edit(
                LINES,
                "        while waiting and state.has_room(waiting[0].weight, self._limits):\n",
                "        while False:\n",
            ),
        ),
        (TESTS + "test_c_22_what_waits_behind_a_full_queue_is_answered_too",),
    ),
    Mutation(
        "M21",
        "a part of a batch is not started by a flush",
        (Edit(CORE, "            self._lines.forced = True\n", "            pass\n"),),
        (TESTS + "test_c_20_flush_and_drain_process_what_waits",),
    ),
    Mutation(
        "M22",
        "a batch that is full when it is opened waits for its time",
        (
            Edit(
                POLICIES,
                "        if starts and self.on_full is OnFull.PROCESS:\n",
                "        if starts and not seen.opens and self.on_full is OnFull.PROCESS:\n",
            ),
        ),
        (TESTS + "test_c_10_a_batch_of_one_item_is_full_at_once",),
    ),
    Mutation(
        "M23",
        "a key that has nothing left is kept",
        (Edit(LINES, "            self.keys.pop(state.value, None)\n", "            pass\n"),),
        (TESTS + "test_c_29_keys_that_are_idle_cost_nothing",),
    ),
    Mutation(
        "M24",
        "what is acquired after the limit is not released",
        (
            Edit(
                CORE,
                "        batch.resources, batch.has_resources = resources, self._acquires\n",
                "        in_time = batch.phase is not Phase.OVER\n"
                "        batch.resources, batch.has_resources = resources, in_time\n",
            ),
        ),
        (TESTS + "test_c_26_a_hung_acquisition_costs_its_items_and_no_capacity",),
    ),
]
