"""Every numbered scenario, proposal and defect of the reference has a test with its number."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parent.parent

_MERGED = {14, 16, 17, 20, 21, 23, 26, 27, 38, 39, 40, 95, 96, 98}
"""Numbers that the reference does not list: close variants of the ones before them."""

WANTED = {
    "s": {f"s{number:03}" for number in range(1, 121) if number not in _MERGED},
    "a": {f"a{number:02}" for number in range(1, 32)},
    "b": {f"b{number:02}" for number in range(1, 24)},
}
"""GenStage's scenarios, the proposals to it, and its defects, as tests are named for them."""


def numbers() -> set[str]:
    """The numbers in the names of all tests, as in ``test_s107_b08_a_buffer_of_0``."""
    found: set[str] = set()
    for path in TESTS.rglob("test_*.py"):
        for name in re.findall(r"^ *(?:async )?def test_(\w+)", path.read_text(), re.MULTILINE):
            found.update(part for part in name.split("_") if re.fullmatch(r"s\d{3}|[ab]\d\d", part))
    return found


@pytest.mark.parametrize("kind", WANTED)
def test_every_number_of_the_reference_has_a_test(kind: str) -> None:
    """None is missing, and no test has a number that there is not."""
    found = {number for number in numbers() if number.startswith(kind)}
    assert found == WANTED[kind]
