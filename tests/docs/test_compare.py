"""The comparison of what a page shows with what is printed."""

from __future__ import annotations

import doctest

import pytest

from tests.docs import compare
from tests.docs.compare import agrees


@pytest.mark.parametrize(
    ("shown", "printed"),
    [
        ("", ""),
        ("a\nb", "a\n\nb\n"),
        ("a  b", "a b"),
        ("first\n...\nlast", "first\nlast"),
        ("first\n...\nlast", "first\none\ntwo\nlast"),
        ("process 12, signal SIGKILL", "process 9, signal SIGKILL"),
        ("2026-01-02T03:04:05.6Z up", "2027-11-12T13:14:15.678Z up"),
        ("a/0  1,234  5%", "a/0  7  100%"),
        ("x: done in 0.85 s", "x: done in 12.00 s"),
    ],
)
def test_it_takes_what_may_differ(shown: str, printed: str) -> None:
    """Blanks, dots, times, process ids and the numbers of a report's row."""
    assert agrees(shown, printed)


@pytest.mark.parametrize(
    ("shown", "printed"),
    [
        ("a", ""),
        ("", "a"),
        ("3 words", "4 words"),
        ("first\n...\nlast", "first\nlast\nmore"),
        ("a/0  1  5%", "b/0  1  5%"),
    ],
)
def test_it_refuses_what_is_wrong(shown: str, printed: str) -> None:
    """Another text, another number, a line too many."""
    assert not agrees(shown, printed)


def test_its_own_example() -> None:
    """The docstring of `agrees` is right."""
    assert doctest.testmod(compare).failed == 0
