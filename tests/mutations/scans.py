"""Breaks of the scans: M1 to M9 of section 9."""

from __future__ import annotations

from tests.mutations.table import Edit, Mutation

__all__ = ["MUTATIONS"]

CORE = "actorflow/stages/scans/core.py"
BROADCAST = "actorflow/stages/scans/broadcast.py"
DEMUX = "actorflow/stages/scans/demux.py"
HOST = "actorflow/stages/scans/host.py"
STAGE = "actorflow/stages/scans/stage.py"
RIG = "tests/systems/scans_rig.py"
IN_CORE = "tests/systems/test_scans_core.py::"
IN_PARTS = "tests/systems/test_scans_parts.py::"

FINISHED_STAYS = Edit(
    CORE,
    """    def _over(self, member: Member, how: str) -> None:
        del self.members[member.id]
""",
    """    def _over(self, member: Member, how: str) -> None:
        if how == "done" and self.backlog:
            return
        del self.members[member.id]
""",
)

MUTATIONS = [
    Mutation(
        "M1",
        "a full input is an error, and is not waited for",
        (
            Edit(
                BROADCAST,
                """            if not count:
                self._note_waiting(live)
                return
""",
                """            if not count:
                raise RuntimeError("no space available in the buffer")
""",
            ),
        ),
        (IN_CORE + "test_a_01_a_full_buffer_is_waited_for",),
    ),
    Mutation(
        "M2",
        "an endless scan does not say that it has ended",
        (
            Edit(
                HOST,
                """            else:
                self._over(running, "ended")
""",
                """            else:
                del self._scans[running.number]
""",
            ),
        ),
        (IN_CORE + "test_a_02_endless_scans_end_with_their_input",),
    ),
    Mutation(
        "M3",
        "a scan that has finished is not removed from the minimum",
        (FINISHED_STAYS,),
        (
            IN_CORE + "test_a_03_a_finished_scan_is_nobodys_burden",
            IN_CORE + "test_a_04_a_scan_that_finishes_while_its_buffer_fills",
        ),
    ),
    Mutation(
        "M4",
        "the same, with a test double in which taking and finishing are one step",
        (
            FINISHED_STAYS,
            Edit(
                RIG,
                """        self.companions.mute.add(member.host)
""",
                """        assert member.host
""",
            ),
        ),
        (IN_CORE + "test_a_04_a_scan_that_finishes_while_its_buffer_fills",),
    ),
    Mutation(
        "M5b",
        "the end of a process is told before its last words are read",
        (
            Edit(
                "actorflow/runtime/local/companions.py",
                "        self._read(beside)\n        beside.link.close_reader()\n",
                "        beside.link.close_reader()\n",
            ),
        ),
        (IN_PARTS + "test_a_10_last_words_and_the_end_in_every_order_and_cut",),
    ),
    Mutation(
        "M6",
        "an error does not wake a driver that waits",
        (
            Edit(
                CORE,
                """        if self.members:
            return
        if self._failure is not None:
""",
                """        if self.members or self.backlog:
            return
        if self._failure is not None:
""",
            ),
        ),
        (IN_CORE + "test_a_09_a_scan_that_raises_is_named",),
    ),
    Mutation(
        "M7",
        "values are held back while the driver waits",
        (
            Edit(
                CORE,
                """        self._flush()
        self._conclude()
""",
                """        if not self.backlog:
            self._flush()
        self._conclude()
""",
            ),
        ),
        (IN_CORE + "test_a_16_values_leave_while_the_driver_waits",),
    ),
    Mutation(
        "M8",
        "what a key's scan had and did not consume when it was done is lost",
        (
            Edit(
                DEMUX,
                """        if how == "crashed":
            self._give_up(member)
        else:
            self._put_back(member)

    def _loses""",
                """        self._give_up(member)

    def _loses""",
            ),
        ),
        (IN_CORE + "test_a_08_no_input_of_a_key_is_lost_when_its_scan_is_done",),
    ),
    Mutation(
        "M9",
        "the end of the input needs credit",
        (
            Edit(
                CORE,
                """        for member in list(self.members.values()):
            self._summon(member, standing)
        self._turn()
""",
                """        for member in list(self.members.values()):
            if member.room > 0:
                self._summon(member, standing)
        self._turn()
""",
            ),
        ),
        (IN_CORE + "test_a_23_the_end_waits_behind_no_buffer",),
    ),
    Mutation(
        "M30c",
        "a scan's place is given back when its value is said, and not when it has left",
        (
            Edit(
                "actorflow/stages/scans/member.py",
                """        self.held += values
""",
                """        assert values >= 0
""",
            ),
            Edit(
                "actorflow/stages/scans/core.py",
                """                member.held -= count
""",
                """                assert count
""",
            ),
        ),
        (IN_CORE + "test_a_18_a_consumer_that_takes_nothing_stops_the_source",),
    ),
    Mutation(
        "M30d",
        "an event is finished when it is handed to scans, and not when they have consumed it",
        (
            Edit(
                BROADCAST,
                """        if all(member.window is None for member in live):
            self._settle()
""",
                """        while self._shares:
            share = self._shares.popleft()
            self._settled += share.count
            self._owner.finished(share.batch, share.count)
""",
            ),
        ),
        (IN_PARTS + "test_credit_returns_when_scans_have_consumed",),
    ),
]
