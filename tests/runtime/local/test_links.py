"""Links between stages, and what happens when the system has no more descriptors to give."""

from __future__ import annotations

import errno
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from actorflow.protocol.control import SubscriptionEnded, decode_control
from actorflow.protocol.messages import Cast, Info
from actorflow.runtime.local import descriptors, links
from actorflow.runtime.local.descriptors import close_all
from actorflow.runtime.local.links import CAN_SHARE, WideningBudget, make_link
from actorflow.supervision.runtime import Received
from tests.runtime.local.watched import Make, Watched, eventually, open_files, stage

pytestmark = pytest.mark.processes
PRODUCER, CONSUMER = stage("producer"), stage("consumer")


def announce(ref: int) -> Info:
    """The message that a stage gets with its descriptors."""
    return Info(ref, "user", "text", b"")


def link(one: Watched, ref: int) -> None:
    """Link the two stages."""
    one.runtime.link(ref, PRODUCER, CONSUMER, announce(ref), announce(ref))


def pair(one: Watched) -> None:
    """Start the two stages."""
    for child in (PRODUCER, CONSUMER):
        one.spawn(child)
        one.started(child)


def no_link(one: Watched) -> list[SubscriptionEnded]:
    """The links that were reported as not made."""
    return [
        record
        for seen in one.seen
        if isinstance(seen, Received) and isinstance(seen.message, Cast)
        if isinstance(record := decode_control(seen.message), SubscriptionEnded)
    ]


@contextmanager
def descriptors_limited_to(limit: int, pid: int = 0) -> Iterator[None]:
    """Let a process open no descriptor from this number on."""
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (limit, before[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)


def test_each_side_reads_what_the_other_writes(watched: Make) -> None:
    """Each gets (read end, write end); what one writes, the other reads."""
    one = watched("takes_links")
    pair(one)
    link(one, 7)
    assert one.texts(PRODUCER, 1) == ["read 7"]
    assert one.texts(CONSUMER, 1) == ["read 7"]


def test_a_hundred_links_at_once(watched: Make) -> None:
    """Descriptors stay with their messages when many are under way, and none stays here."""
    one = watched("takes_links")
    pair(one)
    link(one, 0)
    assert one.texts(PRODUCER, 1) == one.texts(CONSUMER, 1) == ["read 0"]
    eventually(lambda: one.spares() == 1, "a spare")
    before = open_files()
    for ref in range(1, 101):
        link(one, ref)
    expected = [f"read {ref}" for ref in range(101)]
    assert one.texts(PRODUCER, 101) == expected
    assert one.texts(CONSUMER, 101) == expected
    assert open_files() == before


def test_a_link_to_a_dead_side_is_at_its_end(watched: Make) -> None:
    """The living side gets its descriptors all the same, and reads the end of the file."""
    one = watched("reads_a_link")
    one.spawn(CONSUMER)
    one.started(CONSUMER)
    link(one, 1)
    assert one.texts(CONSUMER, 2) == ["linked", "end of the link"]


def test_a_link_ends_when_its_producer_is_killed(watched: Make) -> None:
    """Nobody else holds a copy of a link's write end: not the host, nor the zygote, nor others."""
    one = watched("reads_a_link")
    bystander = one.spawn(stage("bystander"))
    pair(one)
    link(one, 1)
    one.texts(CONSUMER, 1)
    another = one.spawn(stage("another"))
    one.started(another)
    one.runtime.signal(PRODUCER, "kill")
    assert one.texts(CONSUMER, 2)[-1] == "end of the link"
    assert one.exited(CONSUMER).status == 0
    assert one.started(bystander)


def test_a_host_without_descriptors_refuses_a_link(
    watched: Make, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody is killed: the consumer's subscription ends with a reason, and later links work."""
    one = watched("takes_links")
    pair(one)
    with descriptors_limited_to(3):
        link(one, 1)
        one.wait(lambda seen: no_link(one), "refused")
    (record,) = no_link(one)
    assert record.ref == 1
    assert record.reason[0] == "no_link"
    assert "Too many open files" in record.reason[1]
    assert "raise the limit: ulimit -n" in record.reason[1]
    assert "no link could be made" in caplog.text
    link(one, 2)
    assert one.texts(CONSUMER, 2)[-1] == "read 2"
    assert one.texts(PRODUCER, 1) == ["read 2"]


def test_a_host_without_descriptors_refuses_a_start(watched: Make) -> None:
    """The start is an exit that says why, and the next one works."""
    one = watched("echo")
    eventually(lambda: one.spares() == 1, "a spare")
    with descriptors_limited_to(3):
        first, second = one.spawn(stage("first")), one.spawn(stage("second"))
        one.started(first)  # It became the spare's, which costs no descriptor.
        end = one.exited(second)
    assert end.pid == 0
    assert "could not be started: [Errno 24] Too many open files" in end.detail
    third = one.spawn(stage("third"))
    one.tell(third, "hello")
    assert one.texts(third, 1) == ["hello"]


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="sets another process's limit")
def test_a_zygote_without_descriptors_refuses_a_start(watched: Make) -> None:
    """A control link that does not reach its process is an exit that says why."""
    one = watched("echo")
    eventually(lambda: one.spares() == 1, "a spare")
    with descriptors_limited_to(3, one.zygote.pid):
        first, second = one.spawn(stage("first")), one.spawn(stage("second"))
        end = one.exited(second)
        one.tell(first, "hello")
        assert one.texts(first, 1) == ["hello"]
    assert end.pid == 0
    assert "the zygote did not get its control link" in end.detail
    third = one.spawn(stage("third"))
    one.tell(third, "hello")
    assert one.texts(third, 1) == ["hello"]


def test_a_stage_without_descriptors_is_told_so(watched: Make) -> None:
    """Lost descriptors are an error for their link alone; those of later links are in step."""
    one = watched("short_of_descriptors")
    pair(one)
    for child in (PRODUCER, CONSUMER):
        assert one.texts(child, 1) == ["poor"]
    link(one, 1)
    link(one, 2)
    for child in (PRODUCER, CONSUMER):
        assert one.texts(child, 4)[1:] == [f"lost {errno.EMFILE}"] * 2 + ["rich"]
    link(one, 3)
    for child in (PRODUCER, CONSUMER):
        assert one.texts(child, 5)[4] == "read 3"


def test_a_stage_that_does_not_read_holds_up_nobody(watched: Make) -> None:
    """What a stopped stage cannot take waits for it, in order, while the others go on."""
    one = watched("takes_links")
    pair(one)
    stopped = psutil.Process(one.started(CONSUMER))
    stopped.suspend()
    for ref in range(50):
        link(one, ref)
        one.runtime.send(CONSUMER, Info(ref, "user", "text", bytes(100_000)))
    others = [one.spawn(stage("other", index)) for index in range(2)]
    one.runtime.link(99, others[0], others[1], announce(99), announce(99))
    for other in others:
        assert one.texts(other, 1) == ["read 99"]
    one.runtime.signal(CONSUMER, "kill")
    one.exited(CONSUMER)


def test_a_forked_copy_of_the_host_holds_no_end_of_a_link(watched: Make) -> None:
    """What is on its way to a stage is closed in a process that the host's program forks."""
    one = watched("takes_links")
    pair(one)
    psutil.Process(one.started(CONSUMER)).suspend()
    for ref in range(20):
        one.runtime.send(CONSUMER, Info(ref, "user", "text", bytes(100_000)))
    one.runtime.link(99, CONSUMER, CONSUMER, announce(99), announce(99))
    here = eventually(
        lambda: len(descriptors._private) == (6 if CAN_SHARE else 4) and descriptors._private,
        "held",
    )
    pid = os.fork()
    if not pid:
        os._exit(len([number for number in here if descriptors._is_open(number)]))
    assert os.waitpid(pid, 0)[1] == 0
    assert all(descriptors._is_open(number) for number in here)
    one.runtime.signal(CONSUMER, "kill")
    one.exited(CONSUMER)
    assert not descriptors._private


def test_wide_pipes_are_limited(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No more pipes are widened than half of the user's budget, and an ended stage gives back."""
    monkeypatch.setattr(links, "_soft_limit", lambda: 4 << 20)
    budget = WideningBudget()
    assert [budget.take(ref, PRODUCER, CONSUMER) for ref in range(3)] == [True, True, False]
    budget.ended(stage("nobody"))
    assert not budget.take(3, PRODUCER, CONSUMER)
    budget.ended(CONSUMER)
    assert budget.take(4, PRODUCER, CONSUMER)
    for unlimited in (0, 1 << 40):
        monkeypatch.setattr(links, "_soft_limit", lambda limit=unlimited: limit)
        budget = WideningBudget()
        assert all(budget.take(ref, PRODUCER, CONSUMER) for ref in range(200))


def test_a_link_that_fails_half_way_leaves_no_descriptor() -> None:
    """When the second pipe cannot be made, the first is closed."""
    before = open_files()
    ends = make_link(wide=True)
    opened = sorted([*ends.producer, *ends.consumer])
    close_all(opened)
    with descriptors_limited_to(opened[3]), pytest.raises(OSError, match="Too many open files"):
        make_link(wide=False)
    assert open_files() == before
