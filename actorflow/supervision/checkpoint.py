"""The checkpoint file: a run's snapshots in SQLite, so that the same command goes on from them.

Every snapshot is one step; whatever was kept when the host died is a moment in which all stages
agree, since a stage releases what it made from its input only after the snapshot with both is kept.
"""

from __future__ import annotations

import contextlib
import hashlib
import pickle
import sqlite3
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from actorflow.errors import CheckpointError
from actorflow.protocol.control import Snapshot
from actorflow.records import dataclass
from actorflow.stage.restored import KeptBatch, KeptEdge, Restored
from actorflow.supervision.specs import Plan

__all__ = ["CheckpointFile", "Kept", "fingerprint_of"]

FORMAT = 1
"""Counts the changes of the file's own form."""

_SCHEMA = """
create table about (format integer not null, topology text not null, name text not null,
    begun real not null, finished integer not null);
create table stages (stage text primary key, state blob, buffer blob, finishing integer not null);
create table ended (stage text primary key, reason blob not null, result blob);
create table covered (stage text, edge text, events integer not null, primary key (stage, edge));
create table edges (stage text, edge text, consumer text not null, sent integer not null,
    primary key (stage, edge));
create table batches (stage text, edge text, first integer, count integer not null,
    body blob not null, primary key (stage, edge, first));
"""


@dataclass(frozen=True, slots=True)
class Kept:
    """What a checkpoint holds of one stage.

    Args:
        restored: its last snapshot, or None.
        ended: whether it had come to its orderly end.
        reason: why it ended.
        result: what it gave as its result, pickled, or None.
    """

    restored: Restored | None
    ended: bool = False
    reason: Any = None
    result: bytes | None = None


class CheckpointFile:
    """An open checkpoint file. One run at a time has it; its methods belong to one thread.

    Args:
        path: the file; it is made when it does not exist.
        plan: what is run; a checkpoint of another topology is refused.

    Raises:
        CheckpointError: it is in use, damaged, of another version, or of another topology. The
            file is left as it is.
    """

    def __init__(self, path: str | Path, plan: Plan) -> None:
        self.path = Path(path)
        fingerprint = fingerprint_of(plan)
        is_new = not self.path.exists() or not self.path.stat().st_size
        with self._explained("cannot be opened"):
            # The thread that makes it hands it to the one that writes.
            self._database = sqlite3.connect(
                self.path, timeout=0.5, isolation_level=None, check_same_thread=False
            )
        try:
            with self._explained("cannot be read"):
                self._database.execute("pragma locking_mode = exclusive")
                if not is_new:
                    self._check(fingerprint)
                self._database.execute("pragma journal_mode = wal")
                self._database.execute("pragma synchronous = normal")
                if is_new or self._finished():
                    self._begin(fingerprint, plan.name)
        except BaseException:
            self._database.close()
            raise

    def kept(self) -> dict[str, Kept]:
        """What it holds, by stage."""
        with self._explained("cannot be read"):
            return self._kept()

    def keep(self, stage: str, snapshot: Snapshot) -> None:
        """Keep a stage's snapshot, within a `transaction`."""
        database = self._database
        row = (stage, snapshot.state, snapshot.buffer, int(snapshot.finishing))
        database.execute("insert or replace into stages values (?, ?, ?, ?)", row)
        database.executemany(
            "insert or replace into covered values (?, ?, ?)",
            [(stage, each["edge"], each["events"]) for each in snapshot.inputs],
        )
        for each in snapshot.outputs:
            self._keep_edge(stage, each)

    def keep_end(self, stage: str, reason: Any, result: bytes | None) -> None:
        """A stage has come to its orderly end, with this result, pickled."""
        row = (stage, pickle.dumps(reason), result)
        self._database.execute("insert or replace into ended values (?, ?, ?)", row)

    def finish(self) -> None:
        """The run has ended with success: the next one begins anew."""
        self._database.execute("update about set finished = 1")

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """What is written within is kept all together, or none of it.

        Raises:
            CheckpointError: the disk is full, say; nothing was kept, and it may be tried again.
        """
        with self._explained("cannot be written"):
            self._database.execute("begin immediate")
            try:
                yield
                self._database.execute("commit")
            except BaseException:
                # A full disk may have rolled it back already.
                if self._database.in_transaction:
                    self._database.execute("rollback")
                raise

    def close(self) -> None:
        """Let go of the file. May be repeated."""
        self._database.close()

    # --- within -----------------------------------------------------------------------------------

    def _check(self, fingerprint: str) -> None:
        found = self._database.execute("pragma quick_check").fetchone()
        if found is None or found[0] != "ok":
            raise self._refusal(f"is damaged: {found[0] if found else 'no answer'}")
        try:
            about = self._database.execute("select format, topology, name from about").fetchone()
        except sqlite3.OperationalError as error:
            if "no such table" not in str(error):
                raise
            raise self._refusal("is an SQLite file, and no checkpoint of actorflow") from error
        if about is None:
            raise self._refusal("is damaged: it does not say what it is of")
        form, topology, name = about
        if form != FORMAT:
            raise self._refusal(f"has the form {form}, and this actorflow writes form {FORMAT}")
        if topology != fingerprint:
            raise self._refusal(
                f"is of another topology, {name!r}, or of one whose stages, arguments or"
                " subscriptions were others"
            )

    def _finished(self) -> bool:
        row = self._database.execute("select finished from about").fetchone()
        return bool(row[0])

    def _begin(self, fingerprint: str, name: str) -> None:
        database = self._database
        with self.transaction():
            for table in ("about", "stages", "ended", "covered", "edges", "batches"):
                database.execute(f"drop table if exists {table}")
            for statement in filter(str.strip, _SCHEMA.split(";")):
                database.execute(statement)
            about = (FORMAT, fingerprint, name, time.time(), 0)
            database.execute("insert into about values (?, ?, ?, ?, ?)", about)

    def _kept(self) -> dict[str, Kept]:
        database = self._database
        covered: dict[str, dict[str, int]] = {}
        for stage, edge, events in database.execute("select stage, edge, events from covered"):
            covered.setdefault(stage, {})[edge] = events
        batches: dict[tuple[str, str], list[KeptBatch]] = {}
        rows = database.execute(
            "select stage, edge, first, count, body from batches order by stage, edge, first"
        )
        for stage, edge, first, count, body in rows:
            batches.setdefault((stage, edge), []).append(KeptBatch(first, count, body))
        edges: dict[str, dict[str, KeptEdge]] = {}
        for stage, edge, consumer, sent in database.execute(
            "select stage, edge, consumer, sent from edges"
        ):
            under_way = tuple(batches.get((stage, edge), ()))
            edges.setdefault(stage, {})[edge] = KeptEdge(consumer, sent, under_way)
        kept = {
            stage: Kept(
                Restored(
                    state=state,
                    covered=covered.get(stage, {}),
                    outputs=edges.get(stage, {}),
                    buffer=buffer,
                    finishing=bool(finishing),
                )
            )
            for stage, state, buffer, finishing in database.execute(
                "select stage, state, buffer, finishing from stages"
            )
        }
        for stage, reason, result in database.execute("select stage, reason, result from ended"):
            before = kept.get(stage)
            restored = before.restored if before is not None else None
            kept[stage] = Kept(restored, True, pickle.loads(reason), result)
        return kept

    def _keep_edge(self, stage: str, said: Mapping[str, Any]) -> None:
        database, edge = self._database, said["edge"]
        if said.get("closed"):
            database.execute("delete from edges where stage = ? and edge = ?", (stage, edge))
            database.execute("delete from batches where stage = ? and edge = ?", (stage, edge))
            return
        database.executemany(
            "insert into batches values (?, ?, ?, ?, ?)",
            [
                (stage, edge, batch["first"], batch["count"], batch["body"])
                for batch in said["batches"]
            ],
        )
        database.execute(
            "delete from batches where stage = ? and edge = ? and first + count <= ?",
            (stage, edge, said["acked"]),
        )
        row = (stage, edge, said["consumer"], said["sent"])
        database.execute("insert or replace into edges values (?, ?, ?, ?)", row)

    @contextlib.contextmanager
    def _explained(self, what: str) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            text = str(error)
            if "locked" in text or "busy" in text:
                raise self._refusal("is in use by another run") from error
            if "not a database" in text or "malformed" in text:
                raise self._refusal(f"is damaged, or no checkpoint: {text}") from error
            raise CheckpointError(f"the checkpoint {self.path} {what}: {text}") from error
        except (pickle.UnpicklingError, EOFError) as error:
            raise self._refusal(f"is damaged: {error}") from error

    def _refusal(self, why: str) -> CheckpointError:
        return CheckpointError(
            f"the checkpoint {self.path} {why}. It was left as it is; move it away to begin anew,"
            " or name another file"
        )


def fingerprint_of(plan: Plan) -> str:
    """What must be the same for a checkpoint to be of use: stages, arguments, who takes from whom.

    How failures are met, and how fast, may change between two runs.
    """
    told = hashlib.sha256()
    for child in plan.children:
        stage = child.stage
        use = f"{stage.behaviour.__module__}:{stage.behaviour.__qualname__}"
        arguments = {name: _shown(value) for name, value in sorted(stage.arguments.items())}
        options = stage.options
        told.update(repr((str(stage.id), use, arguments, options.delivery)).encode())
        told.update(repr(_shown(options.dispatcher)).encode())
    for each in plan.subscriptions:
        told.update(repr((each.consumer, each.producer, _shown(each.options.extra))).encode())
    return told.hexdigest()


def _shown(value: Any) -> Any:
    """A value in a form that is the same in every process: plain data whole, the rest by type."""
    if value is None or isinstance(value, bool | int | float | str | bytes):
        return value
    if isinstance(value, Mapping):
        return sorted((str(key), _shown(each)) for key, each in value.items())
    if isinstance(value, list | tuple):
        return [_shown(each) for each in value]
    if callable(value) and hasattr(value, "__qualname__"):
        return f"{value.__module__}:{value.__qualname__}"
    return f"{type(value).__module__}:{type(value).__qualname__}"
