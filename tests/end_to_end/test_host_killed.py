"""Kill -9 of the host: nothing that it started is alive a second later."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import psutil
import pytest

from tests.end_to_end.helpers import alive, finish, numbers_in, start_python, wait_until

pytestmark = pytest.mark.processes

HOST = """
import sys
from actorflow import SubscribeTo, Topology
from tests.end_to_end import stages

topology = (
    Topology("host")
    .stage("numbers", stages.Numbers)
    .stage("pass", stages.Pass, subscribe_to=[SubscribeTo("numbers", max_demand=10)])
    .stage("sink", stages.{sink}, args={args}, subscribe_to=[SubscribeTo("pass", max_demand=10)])
)
with topology.start() as run:
    while any(child.state != "running" for child in run.which_children()):
        pass
    print("running", flush=True)
    run.wait(60)
"""


def start_host(sink: str, **arguments: object) -> subprocess.Popen[str]:
    """Start a program that runs an endless chain, and wait until all of it runs."""
    host = start_python("-c", HOST.format(sink=sink, args=repr(arguments)))
    assert host.stdout is not None
    assert host.stdout.readline() == "running\n"
    return host


def family_of(host: subprocess.Popen[str]) -> set[int]:
    """Everything that descends from a host; at least the zygote and its three stages."""
    found = {each.pid for each in psutil.Process(host.pid).children(recursive=True)}
    assert len(found) >= 4
    return found


def assert_nothing_survives(host: subprocess.Popen[str], family: set[int], number: int) -> None:
    """Signal the host, and see everything gone within a second of its own end."""
    os.kill(host.pid, number)
    host.wait(50)
    wait_until(lambda: not alive(family), f"{family} to be gone", seconds=1.0)
    code, _, errors = finish(host)
    assert code == -number
    assert errors == ""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=lambda each: each.name)
def test_no_process_survives_its_host(number: signal.Signals) -> None:
    """The stages of a killed program are gone within a second."""
    host = start_host("Sink")
    assert_nothing_survives(host, family_of(host), number)


def test_no_grandchild_survives_the_host(tmp_path: Path) -> None:
    """Nor does a process that a stage forked, though it left for a session of its own."""
    told = tmp_path / "grandchild"
    host = start_host("ForksAGrandchild", path=str(told))
    (grandchild,) = wait_until(lambda: numbers_in(told), "the grandchild")
    family = family_of(host)
    assert grandchild in family
    assert_nothing_survives(host, family, signal.SIGKILL)


def test_no_stage_survives_in_its_callback(tmp_path: Path) -> None:
    """A stage that sits in a callback and ignores SIGTERM goes with its host all the same."""
    told = tmp_path / "defiant"
    host = start_host("Defiant", path=str(told))
    (busy,) = wait_until(lambda: numbers_in(told), "the callback")
    family = family_of(host)
    assert busy in family
    assert_nothing_survives(host, family, signal.SIGKILL)
