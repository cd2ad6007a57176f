"""Where the log lines of an embedded run go when the program has configured nothing."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest


@pytest.mark.processes
def test_an_unconfigured_program_keeps_its_standard_output() -> None:
    """Warnings and errors go to standard error by way of `logging`, results stay alone."""
    code = """
        from actorflow import Producer, Topology

        class Talks(Producer):
            def handle_demand(self, demand):
                return []
            def on_start(self):
                self.log.warning("listen", size=3)
                self.set_result("done")
                self.finish()

        with Topology("talk").stage("talks", Talks).start() as run:
            print(run.wait(timeout=30))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout == "{'talks': 'done'}\n"
    assert "event='listen' run='talk' stage='talks' index=0" in done.stderr
    assert "size=3" in done.stderr
