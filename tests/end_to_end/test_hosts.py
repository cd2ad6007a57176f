"""Programs of every kind around a run: scripts without a file, threads, several runs, signals."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from typing import Any

import pytest

from actorflow import Closed, ProducerConsumer, Topology, from_iterable
from tests.end_to_end.helpers import ROOT, Events
from tests.end_to_end.stages import Pass
from tests.stopwatch import within

pytestmark = pytest.mark.processes

LIMIT = 50.0


def passing(source: Any) -> Topology:
    """An iterable through a process."""
    return (
        Topology("passing")
        .stage("items", from_iterable(source))
        .stage("pass", Pass, subscribe_to=["items"])
    )


# --- signals --------------------------------------------------------------------------------------


def handlers() -> dict[int, Any]:
    """What this program does at each signal."""
    return {number: signal.getsignal(number) for number in signal.valid_signals()}


def test_no_signal_handler_is_ever_installed() -> None:
    """Before, during and after a run, in a block, in a loop and as an actor: the program's own."""
    before = handlers()
    with passing(range(10)).start() as run:
        assert handlers() == before
        stream = run.stream("pass")
        assert next(stream) == 0
        assert handlers() == before
        assert list(stream) == list(range(1, 10))
        run.wait(LIMIT)
    assert handlers() == before
    assert list(passing(range(3)).stream("pass")) == [0, 1, 2]
    assert handlers() == before


# --- forks ----------------------------------------------------------------------------------------


def in_a_fork(work: Callable[[], None]) -> int:
    """The exit status of a process that is forked from this one and does that."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
        except SystemExit as request:
            os._exit(int(str(request.code)))
        finally:
            os._exit(99)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_a_fork_of_the_program_leaves_the_run_to_its_parent() -> None:
    """It leaves the blocks that it is in at once, and is told why it can do nothing else."""
    with passing(range(50)).start() as run:
        stream = run.stream("pass", max_demand=5)
        first = next(stream)

        def leaves() -> None:
            with run, stream:
                raise SystemExit(7)

        def asks() -> None:
            for ask in (run.wait, run.stop, run.drain, run.which_children):
                with pytest.raises(Closed, match="start a run of its own"):
                    ask()
            run.close()
            raise SystemExit(8)

        with within(4.0):  # or it waited for a thread that it has not
            assert (in_a_fork(leaves), in_a_fork(asks)) == (7, 8)
        assert [first, *stream] == list(range(50))
        assert run.wait(LIMIT) == {}


# --- several runs ---------------------------------------------------------------------------------


def broken() -> Iterator[int]:
    """Some items and an error."""
    yield from range(5)
    raise LookupError("broken")


def test_a_run_that_fails_does_not_disturb_another() -> None:
    """Both at once, with sources and streams here; one fails, the other misses nothing."""
    with passing(range(500)).start() as whole, passing(broken()).start(Events()) as part:
        stream = whole.stream("pass", max_demand=5)
        got = [next(stream)]
        with pytest.raises(LookupError, match="broken"):
            list(part.stream("pass"))
        assert part.over
        assert not whole.over
        got += stream
        assert got == list(range(500))
        assert whole.outcome(LIMIT).status == "done"
        assert whole.stats().stage("pass").restarts == 0


def test_runs_may_be_started_from_several_threads() -> None:
    """Eight threads, a run each, all at once."""
    begin = threading.Barrier(8)
    got: dict[int, list[int]] = {}

    def work(number: int) -> None:
        begin.wait(LIMIT)
        got[number] = list(passing(range(number * 10)).stream("pass"))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(2 * LIMIT)
    assert got == {number: list(range(number * 10)) for number in range(8)}


def test_a_run_may_be_used_from_many_threads() -> None:
    """Streams, questions and statistics of one run from eight threads, while it goes on."""
    failures: list[BaseException] = []
    with passing(count()).start() as run:

        def work() -> None:
            try:
                with run.stream("pass", max_demand=4) as stream:
                    for _ in range(20):
                        next(stream)
                        run.which_children()
                        run.stats()
            except BaseException as error:  # noqa: BLE001  (shown by the assertion below)
                failures.append(error)

        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(2 * LIMIT)
    assert failures == []


# --- classes without a module ---------------------------------------------------------------------


def test_local_classes_and_lambdas_are_stages_and_events() -> None:
    """What a function defines travels, there and back."""

    @dataclass
    class Reading:
        value: int

    class Change(ProducerConsumer):
        def __init__(self, change: Callable[[int], int]) -> None:
            self.change = change

        def handle_events(self, events: list[Reading], subscription: Any) -> list[Reading]:
            return [Reading(self.change(event.value)) for event in events]

    topology = (
        Topology("local")
        .stage("readings", from_iterable(Reading(value) for value in range(5)))
        .stage(
            "change", Change, args={"change": lambda value: value + 1}, subscribe_to=["readings"]
        )
    )
    assert list(topology.stream("change")) == [Reading(value) for value in range(1, 6)]


SESSION = """
    from dataclasses import dataclass
    from actorflow import Consumer, ProducerConsumer, Topology, from_iterable

    @dataclass
    class Reading:
        value: int

    class TooHot(Exception):
        pass

    class Change(ProducerConsumer):
        def __init__(self, change):
            self.change = change

        def handle_events(self, events, subscription):
            changed = [Reading(self.change(event.value)) for event in events]
            if changed[-1].value > LIMIT:
                raise TooHot(changed[-1])
            return changed

    def run():
        topology = (
            Topology("session")
            .stage("readings", from_iterable(Reading(value) for value in range(5)))
            .stage("change", Change, args={"change": lambda v: v * 10}, restart="temporary",
                   subscribe_to=["readings"])
        )
        try:
            found = list(topology.stream("change"))
            print(found == [Reading(v) for v in (0, 10, 20, 30, 40)])
        except Exception as error:
            print(type(error).__name__, error)

"""


def typed(text: str, *command: str) -> subprocess.CompletedProcess[str]:
    """What a Python says to a text on its standard input."""
    return subprocess.run(
        [sys.executable, *command],
        input=textwrap.dedent(text),
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONSTARTUP": ""},
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )


def test_a_script_on_standard_input_works() -> None:
    """Its classes belong to a ``__main__`` that has no file."""
    done = typed(SESSION.replace("LIMIT", "100") + "    run()\n", "-")
    assert (done.returncode, done.stdout, done.stderr) == (0, "True\n", "")


def test_an_interactive_session_works() -> None:
    """Line by line, as in a notebook: each statement is compiled and executed on its own."""
    # A blank line ends what is being typed, so one inside of a class or function must not be there.
    lines = textwrap.dedent(SESSION.replace("LIMIT", "100")).splitlines()
    kept = [
        line
        for line, following in zip(lines, [*lines[1:], ""], strict=True)
        if line or not following.startswith(" ")
    ]
    done = typed("\n".join([*kept, "run()", "exit()", ""]), "-i", "-q")
    assert done.returncode == 0
    assert "True\n" in done.stdout
    assert "Traceback" not in done.stderr


NOTEBOOK = """
    import types, sys

    # What a notebook's kernel does: cells are executed in a module of that name, without a file.
    module = types.ModuleType("__main__")
    sys.modules["__main__"] = module
    for cell in (CELLS):
        exec(compile(cell, "<cell>", "exec"), module.__dict__)
"""


def test_the_cells_of_a_notebook_work() -> None:
    """Classes of one cell are used in the next, twice."""
    cells = [textwrap.dedent(SESSION.replace("LIMIT", "100")), "run()", "run()"]
    done = typed(NOTEBOOK.replace("CELLS", repr(cells)), "-")
    assert (done.returncode, done.stdout, done.stderr) == (0, "True\nTrue\n", "")


# --- threads and the program's end ----------------------------------------------------------------

FORGOTTEN = """
    import itertools, time
    from actorflow import from_iterable, Topology
    from tests.end_to_end.stages import Pass

    def slow():
        yield 1
        time.sleep(3600)

    run = (
        Topology("forgotten").stage("items", from_iterable(slow()))
        .stage("pass", Pass, subscribe_to=["items"])
    ).start()
    stream = run.stream("pass")
    print(next(stream), flush=True)
"""


def test_a_program_that_forgets_its_run_ends_all_the_same() -> None:
    """With an iterable that blocks and a stream that is open: their threads hold nobody up."""
    done = typed(FORGOTTEN, "-")
    assert (done.returncode, done.stdout) == (0, "1\n")
