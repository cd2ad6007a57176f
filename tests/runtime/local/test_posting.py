"""What other threads have for a loop: state first, bell second."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import pytest

from actorflow.runtime.local import posting
from actorflow.runtime.local.posting import Mailbox


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    """A mailbox that is closed again."""
    made = Mailbox()
    yield made
    made.close()


def test_m5_a_reader_as_fast_as_the_bell_finds_it(
    mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever is woken by the bell may look at once; what it rings for is there by then."""
    write = os.write
    found: list[Callable[[], None]] = []

    def ring(descriptor: int, data: bytes) -> int:
        written = write(descriptor, data)
        found.extend(mailbox.take())
        return written

    monkeypatch.setattr(os, "write", ring)
    mailbox.post(posted := lambda: None)
    assert found == [posted]


def test_what_is_posted_to_a_closed_mailbox_is_not_called(mailbox: Mailbox) -> None:
    """Nobody would take it, and a thread that posts late is no reason to fail."""
    called: list[str] = []
    mailbox.close()
    mailbox.post(lambda: called.append("late"))
    assert mailbox.fileno() == -1
    assert called == []


def test_a_closed_mailbox_has_let_go_of_its_numbers_before_they_are_free(
    mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thread that posts in that moment writes to nothing, and not to whoever has the number."""
    numbers: list[int] = []

    def close_all(descriptors: tuple[int, ...]) -> None:
        numbers.append(mailbox.fileno())
        for each in descriptors:
            os.close(each)

    monkeypatch.setattr(posting, "close_all", close_all)
    mailbox.close()
    assert numbers == [-1]
