"""Breaks of what all four systems rest on: wake-ups, ends, writes, credit, descriptors."""

from __future__ import annotations

from tests.mutations.table import Edit, Mutation

__all__ = ["MUTATIONS"]

LAWS = "tests/simulation/test_breaks.py::test_without_a_break_nothing_is_caught"

MUTATIONS = [
    Mutation(
        "M5a",
        "a callback from another thread rings before it is stored",
        (
            Edit(
                "actorflow/runtime/local/posting.py",
                """        self._waiting.append(callback)
        with contextlib.suppress(OSError):
            os.write(self._write, b"\\0")
""",
                """        with contextlib.suppress(OSError):
            os.write(self._write, b"\\0")
        self._waiting.append(callback)
""",
            ),
        ),
        ("tests/runtime/local/test_posting.py::test_m5_a_reader_as_fast_as_the_bell_finds_it",),
    ),
    Mutation(
        "M29",
        "a stage waits inside a write to a full link",
        (
            Edit(
                "actorflow/runtime/local/descriptors.py",
                "    os.set_blocking(write, False)\n",
                "    os.set_blocking(write, True)\n",
            ),
        ),
        (
            "tests/runtime/local/test_pipes.py::test_neither_end_of_a_link_ever_waits",
            "tests/systems/test_buffered_processes.py::test_d_14_d_24_the_event_loop_is_served",
        ),
    ),
    Mutation(
        "M30a",
        "credit returns when a batch arrives, and again when it is consumed",
        (
            Edit(
                "actorflow/stage/consuming.py",
                "        incoming.received = message.seq\n        incoming.open_batches += 1\n",
                "        incoming.received = message.seq\n        incoming.open_batches += 1\n"
                "        self.asking.ask(incoming, len(events))\n",
            ),
        ),
        (LAWS,),
    ),
    Mutation(
        "M30b",
        "the credit of a consumer that has left still counts",
        (
            Edit(
                "actorflow/dispatch/demand.py",
                "        if entry is not None:\n            self.capacity -= entry.credit\n",
                "        assert entry is None or entry.credit >= 0\n",
            ),
        ),
        (LAWS,),
    ),
    Mutation(
        "M31a",
        "a stage's process keeps what the process had open that forked it",
        (
            Edit(
                "actorflow/runtime/local/descriptors.py",
                '    os.closerange(start, max(start, os.sysconf("SC_OPEN_MAX")))\n',
                "    assert start\n",
            ),
        ),
        ("tests/runtime/local/test_lifecycle.py::test_a_stage_starts_in_a_clean_process",),
    ),
    Mutation(
        "M31b",
        "the host keeps the ends of a link that it has handed over",
        (
            Edit(
                "actorflow/runtime/local/control.py",
                "            close_all(item.descriptors)\n            item.descriptors = ()\n",
                "            item.descriptors = ()\n",
            ),
        ),
        ("tests/runtime/local/test_links.py::test_a_link_ends_when_its_producer_is_killed",),
    ),
    Mutation(
        "M32",
        "a join makes no room for what is ahead of a way that drops events",
        (
            Edit(
                "actorflow/stages/zip.py",
                "        if limit is None or self._over:\n            return\n",
                "        if limit is not None or self._over:\n            return\n",
            ),
        ),
        (
            "tests/systems/test_diamond.py::test_m32_a_diamond_with_enough_room_ends",
            "tests/systems/test_diamond.py::test_m32_a_diamond_with_too_little_room_says_so",
        ),
    ),
]
