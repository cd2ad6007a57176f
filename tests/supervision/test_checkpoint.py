"""The checkpoint file: what it keeps, and what it refuses."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from actorflow import CheckpointError, Consumer, Plan, ProtocolError, Topology
from actorflow.protocol.control import Snapshot
from actorflow.stage.restored import KeptBatch, KeptEdge, Restored
from actorflow.stages.sources import Items
from actorflow.supervision.checkpoint import CheckpointFile
from actorflow.supervision.checkpoint_writer import Checkpointing
from actorflow.supervision.journal import Journal


class Sink(Consumer):
    """Takes everything."""

    def handle_events(self, events: list[Any], subscription: Any) -> None: ...


def plan(items: int = 3) -> Plan:
    """A source and a sink."""
    source = Topology("kept").stage("numbers", Items, args={"items": list(range(items))})
    return source.stage("sink", Sink, subscribe_to=["numbers"]).plan()


def batch(first: int, *events: int) -> dict[str, Any]:
    """Events of an edge, as a snapshot says them."""
    return {"first": first, "count": len(events), "body": bytes(events)}


def output(sent: int, acked: int, *batches: dict[str, Any]) -> dict[str, Any]:
    """An edge, as a snapshot says it."""
    return {
        "edge": "e",
        "consumer": "sink/0",
        "sent": sent,
        "acked": acked,
        "batches": list(batches),
    }


FIRST = Snapshot(
    1,
    b"one",
    [{"ref": 1, "seq": 2, "edge": "in", "events": 20}],
    [output(5, 0, batch(0, 1, 2), batch(2, 3, 4, 5))],
    b"waiting",
)
SECOND = Snapshot(2, b"two", [], [output(6, 2, batch(5, 6))], None, True)
AFTER_BOTH = Restored(
    state=b"two",
    covered={"in": 20},
    outputs={
        "e": KeptEdge("sink/0", 6, (KeptBatch(2, 3, bytes([3, 4, 5])), KeptBatch(5, 1, bytes([6]))))
    },
    buffer=None,
    finishing=True,
)


def kept_in(path: Path, *snapshots: Snapshot) -> CheckpointFile:
    """An open file with these snapshots of one stage."""
    file = CheckpointFile(path, plan())
    with file.transaction():
        for snapshot in snapshots:
            file.keep("numbers/0", snapshot)
    return file


def test_the_journal_and_the_file_keep_the_same(tmp_path: Path) -> None:
    """The state is the last one's; of the outputs what is not acknowledged is kept."""
    journal = Journal()
    journal.take(FIRST)
    journal.take(SECOND)
    assert journal.restored() == AFTER_BOTH
    kept_in(tmp_path / "file", FIRST, SECOND).close()
    again = CheckpointFile(tmp_path / "file", plan())
    kept = again.kept()["numbers/0"]
    again.close()
    assert kept.restored == AFTER_BOTH
    assert Journal.resumed(AFTER_BOTH).restored() == AFTER_BOTH


def test_a_closed_edge_is_forgotten_and_may_begin_anew(tmp_path: Path) -> None:
    """In one snapshot, too: it is over, and it begins where its consumer stands."""
    anew = output(31, 30, batch(30, 9))
    closing = Snapshot(2, None, [], [{"edge": "e", "consumer": "sink/0", "closed": True}, anew])
    journal = Journal()
    journal.take(FIRST)
    journal.take(closing)
    edge = KeptEdge("sink/0", 31, (KeptBatch(30, 1, bytes([9])),))
    assert journal.restored().outputs == {"e": edge}
    file = kept_in(tmp_path / "file", FIRST, closing)
    restored = file.kept()["numbers/0"].restored
    file.close()
    assert restored is not None
    assert restored.outputs == {"e": edge}


@pytest.mark.parametrize(
    "bad",
    [
        replace(SECOND, outputs=[output(7, 2, batch(6, 6))]),
        replace(SECOND, outputs=[output(7, 2, batch(5, 6))]),
        replace(SECOND, outputs=[{"edge": "e"}]),
        replace(SECOND, inputs=[{"ref": 1}]),
        replace(SECOND, inputs=[{"ref": "x", "seq": 1, "edge": "in", "events": 1}]),
    ],
)
def test_a_snapshot_that_does_not_fit_changes_nothing(bad: Snapshot) -> None:
    """It is refused, and the last good one is what a successor gets."""
    journal = Journal()
    journal.take(FIRST)
    before = journal.restored()
    with pytest.raises(ProtocolError, match="bad_snapshot"):
        journal.take(bad)
    assert journal.restored() == before


def test_an_end_is_kept_with_its_result(tmp_path: Path) -> None:
    """A stage that had ended is not started again."""
    file = kept_in(tmp_path / "file", FIRST)
    with file.transaction():
        file.keep_end("numbers/0", "done", b"result")
    found = file.kept()["numbers/0"]
    file.close()
    assert (found.ended, found.reason, found.result) == (True, "done", b"result")


def test_a_finished_run_is_not_gone_on_with(tmp_path: Path) -> None:
    """The next one begins anew."""
    file = kept_in(tmp_path / "file", FIRST)
    with file.transaction():
        file.finish()
    file.close()
    again = CheckpointFile(tmp_path / "file", plan())
    assert again.kept() == {}
    again.close()


def _of_another_topology(path: Path) -> None:
    CheckpointFile(path, plan(items=4)).close()


def _of_another_form(path: Path) -> None:
    kept_in(path, FIRST).close()
    database = sqlite3.connect(path)
    database.execute("update about set format = 7")
    database.commit()
    database.close()


def _cut_short(path: Path) -> None:
    kept_in(path, FIRST).close()
    path.write_bytes(path.read_bytes()[:5000])


def _text(path: Path) -> None:
    path.write_text("dear diary, this is no checkpoint\n" * 100)


def _another_database(path: Path) -> None:
    database = sqlite3.connect(path)
    database.execute("create table mine (x)")
    database.commit()
    database.close()


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (_of_another_topology, "is of another topology, 'kept'"),
        (_of_another_form, "has the form 7, and this actorflow writes form 1"),
        (_cut_short, "is damaged"),
        (_text, "is damaged, or no checkpoint"),
        (_another_database, "is an SQLite file, and no checkpoint of actorflow"),
    ],
)
def test_what_cannot_be_used_is_refused_and_left_as_it_is(
    make: Callable[[Path], None], why: str, tmp_path: Path
) -> None:
    """The message says why and what to do, and not a byte is changed."""
    path = tmp_path / "file"
    make(path)
    before = path.read_bytes()
    with pytest.raises(CheckpointError, match=why) as refused:
        CheckpointFile(path, plan())
    assert "move it away to begin anew" in str(refused.value)
    assert path.read_bytes() == before


def test_one_run_at_a_time_has_it(tmp_path: Path) -> None:
    """A second one is told so, while the first lives."""
    file = kept_in(tmp_path / "file", FIRST)
    with pytest.raises(CheckpointError, match="is in use by another run"):
        CheckpointFile(tmp_path / "file", plan())
    file.close()
    CheckpointFile(tmp_path / "file", plan()).close()


def test_a_start_that_is_refused_holds_no_file(tmp_path: Path) -> None:
    """What is found to be damaged only when it is gone on with is free again, and so are others."""
    path, letters = tmp_path / "file", tmp_path / "letters"
    whole = Topology("kept", checkpoint=str(path), dead_letters=str(letters)).stage(
        "numbers", Items, args={"items": [1, 2, 3]}
    )
    file = CheckpointFile(path, whole.plan())
    with file.transaction():
        file.keep_end("numbers/0", "done", None)
    file.close()
    database = sqlite3.connect(path)
    database.execute("update ended set reason = x'80'")
    database.commit()
    database.close()
    threads = threading.active_count()
    with pytest.raises(CheckpointError, match="is damaged") as refused:
        whole.start()
    opened = [each.path for each in psutil.Process().open_files()]
    held = [each for each in opened if each.startswith(str(tmp_path))]
    assert (held, threading.active_count()) == ([], threads), refused
    CheckpointFile(path, whole.plan()).close()


def test_a_path_that_cannot_be_is_refused_by_name(tmp_path: Path) -> None:
    """A folder that does not exist."""
    with pytest.raises(CheckpointError, match="cannot be opened"):
        CheckpointFile(tmp_path / "no" / "file", plan())


def test_what_a_full_disk_refuses_is_not_called_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is written as soon as there is room, and only then the stage is told."""
    monkeypatch.setattr("actorflow.supervision.checkpoint_writer.RETRY_AFTER", 0.01)
    file = CheckpointFile(tmp_path / "file", plan())
    refusals = 0
    whole = file.transaction

    def full() -> Any:
        nonlocal refusals
        refusals += 1
        if refusals <= 3:
            raise CheckpointError("the checkpoint cannot be written: database or disk is full")
        return whole()

    monkeypatch.setattr(file, "transaction", full)
    stored = threading.Event()
    writer = Checkpointing(file, lambda act: act())
    writer.keep("numbers/0", FIRST, stored.set)
    assert stored.wait(10)
    assert refusals == 4
    writer.close(finished=False)
    again = CheckpointFile(tmp_path / "file", plan())
    assert "numbers/0" in again.kept()
    again.close()


def test_a_disk_that_stays_full_does_not_hold_up_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What could not be written is given up, with a line in the log."""
    file = CheckpointFile(tmp_path / "file", plan())

    def full() -> Any:
        raise CheckpointError("the checkpoint cannot be written: database or disk is full")

    monkeypatch.setattr(file, "transaction", full)
    stored = threading.Event()
    writer = Checkpointing(file, lambda act: act())
    writer.keep("numbers/0", FIRST, stored.set)
    writer.close(finished=False)
    assert not stored.is_set()
