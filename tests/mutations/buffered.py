"""Breaks of the asynchronous stage: its window, its claims, and permits."""

from __future__ import annotations

from tests.mutations.table import Edit, Mutation

__all__ = ["MUTATIONS"]

WINDOW = "tests/systems/test_buffered_window.py"
PROCESSES = "tests/systems/test_buffered_processes.py"

MUTATIONS = [
    Mutation(
        "M25",
        "a body holds the window up: calls begin only while nobody is at work on a result",
        (
            Edit(
                "actorflow/stages/buffered/stage.py",
                "    works_ahead = True\n",
                "    works_ahead = False\n",
            ),
        ),
        (
            f"{WINDOW}::test_d_01_calls_go_on_while_a_body_runs",
            f"{PROCESSES}::test_d_01_d_02_d_03_no_client_is_idle_while_a_body_runs",
        ),
    ),
    Mutation(
        "M26",
        "an item's place is not taken when it comes, so more are asked for at once",
        (
            Edit(
                "actorflow/stages/buffered/claims.py",
                "        share.held += count\n",
                "        self._refill()\n",
            ),
        ),
        (
            f"{WINDOW}::test_d_06_no_more_is_claimed_than_was_agreed",
            f"{PROCESSES}::test_d_14_d_24_the_event_loop_is_served",
        ),
    ),
    Mutation(
        "M27",
        "a permit is kept when its block is left, while the result waits for its body",
        (
            Edit(
                "actorflow/stages/permits.py",
                "        if connection is not None:\n            connection.close()\n",
                "        if connection is not None:\n            connection.detach()\n",
            ),
        ),
        (f"{PROCESSES}::test_d_04_d_05_permits_are_shared_by_calls_and_bodies",),
    ),
    Mutation(
        "M28",
        "the permits of a process that dies stay taken",
        (
            Edit(
                "actorflow/runtime/local/permits.py",
                "        successor = self._table.gone(connection)\n",
                "        successor = self._table.gone(connection) if said else None\n",
            ),
        ),
        (f"{PROCESSES}::test_d_21_d_22_kills_lose_nothing",),
    ),
]
