"""What holds for every test: it leaves nothing behind, and when it hangs it shows its processes."""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Generator, Iterator
from types import FrameType
from typing import Any

import hypothesis
import pytest

from tests import evidence
from tests.leaks import MARK, Census, end_processes, left_behind, new_mark
from tests.seeds import THOROUGH, examples

THOROUGH_TIMEOUT = 900
"""Seconds for a test that tries everything; the usual limit is in pyproject.toml."""

# How long an example takes depends on what else the machine does, and is not what is tested.
hypothesis.settings.register_profile("actorflow", deadline=None, max_examples=examples(100))
hypothesis.settings.load_profile("actorflow")


@pytest.fixture(autouse=True)
def leaves_nothing(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail the test that leaves a process, a descriptor, a thread or shared memory behind.

    Tests marked ``processes`` are also searched for orphans, which costs some milliseconds.
    """
    mark = new_mark() if request.node.get_closest_marker("processes") else None
    outer = os.environ.get(MARK)
    if mark is not None:
        os.environ[MARK] = mark
    before = Census.take(mark)
    yield
    left = left_behind(before)
    if mark is not None:
        os.environ.pop(MARK)
        if outer is not None:
            os.environ[MARK] = outer
    if left:
        end_processes(before)
        pytest.fail("the test left behind:\n  " + "\n  ".join(left), pytrace=False)


@pytest.hookimpl(wrapper=True, optionalhook=True)
def pytest_timeout_set_timer(item: pytest.Item, settings: Any) -> Generator[None, Any, Any]:
    """Keep a picture of the processes with the report of a test that times out.

    pytest-timeout raises from its signal handler, and the test's own clean-up then ends the
    processes; so the picture is taken before that handler runs.
    """
    result = yield
    handler = signal.getsignal(signal.SIGALRM)
    if settings.method == "signal" and callable(handler):

        def take_picture(number: int, frame: FrameType | None) -> None:
            __tracebackhide__ = True
            item.add_report_section("call", "processes", evidence.processes())
            handler(number, frame)

        signal.signal(signal.SIGALRM, take_picture)
    return result


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Every seed and every size that is specified may take longer than what the suite tries."""
    if not THOROUGH:
        return
    for item in items:
        if item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(THOROUGH_TIMEOUT))


def pytest_configure() -> None:
    """Thousands of tests are collected, by each worker, and none of them is garbage."""
    gc.disable()


def pytest_collection_finish() -> None:
    """A collection in a test need not look at all the others."""
    gc.freeze()
    gc.enable()
