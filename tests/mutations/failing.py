"""Breaks of how failing events are met: F1 to F8."""

from __future__ import annotations

from tests.mutations.table import Edit, Mutation

__all__ = ["MUTATIONS"]

IN_STAGE = "tests/stage/test_on_error.py::"
IN_WORLD = "tests/simulation/test_failing_events.py::"
POISON = IN_WORLD + (
    "test_events_that_end_their_consumer_become_dead_letters_and_all_others_are_handled"
)

MUTATIONS = [
    Mutation(
        "F1",
        "the batch in hand is delivered again whole",
        (
            Edit(
                "actorflow/protocol/delivery.py",
                "        for offset, event in enumerate(batch.events)\n",
                "        for offset, event in enumerate(batch.events[:1])\n",
            ),
        ),
        (POISON,),
    ),
    Mutation(
        "F2",
        "an event is finished before its dead letter is kept",
        (
            Edit(
                "actorflow/stage/failing.py",
                "            self._bury(case, case.taken.events[step.first])\n",
                "            self._bury(case, case.taken.events[step.first])\n"
                "            self._do(case, case.treatment.given_up())\n",
            ),
        ),
        (IN_STAGE + "test_an_event_is_finished_when_its_dead_letter_is_kept_and_no_sooner",),
    ),
    Mutation(
        "F3",
        "what arrives while a batch is treated overtakes it",
        (
            Edit(
                "actorflow/stage/callbacks.py",
                "        self._arriving = deque(self.queue)\n        self.queue.clear()\n",
                "        self._arriving = self.queue\n",
            ),
        ),
        (IN_STAGE + "test_retries_come_after_pauses_that_grow_and_end_with_success",),
    ),
    Mutation(
        "F4",
        "a producer-consumer takes further input while it treats a batch",
        (
            Edit(
                "actorflow/stage/machine.py",
                "        self._takes_input = not resting\n",
                "        self._takes_input = True\n",
            ),
        ),
        (IN_STAGE + "test_a_producer_consumer_takes_no_input_while_it_treats_a_batch",),
    ),
    Mutation(
        "F5",
        "the restarts of a search count",
        (
            Edit(
                "actorflow/supervision/tree.py",
                "        if not counted and wanted",
                "        if counted and not wanted",
            ),
        ),
        (POISON,),
    ),
    Mutation(
        "F6",
        "the producer is not told what its consumer had in hand",
        (
            Edit(
                "actorflow/stage/subscribers.py",
                "            outgoing.store.suspect(seq, failure)\n",
                "            pass\n",
            ),
        ),
        (POISON,),
    ),
    Mutation(
        "F7",
        "what is buried is given up a second time by a successor",
        (
            Edit(
                "actorflow/stage/subscribers.py",
                "            outgoing.store.bury(seq)\n",
                "            pass\n",
            ),
        ),
        (POISON,),
    ),
    Mutation(
        "F8",
        "a retry never ends",
        (
            Edit(
                "actorflow/stage/on_error.py",
                "        if retry is not None and self.failures <= self._rule.retries:\n",
                "        if retry is not None:\n",
            ),
        ),
        (IN_STAGE + "test_after_the_last_retry_the_events_are_tried_one_by_one",),
    ),
]
