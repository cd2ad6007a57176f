"""Fixtures of the end-to-end tests."""

from __future__ import annotations

import re
import sysconfig
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
import structlog


@pytest.fixture
def plain_logs() -> Iterator[None]:
    """Undo what a command configures, so that no later log line goes to a stream that is gone."""
    yield
    structlog.reset_defaults()


@pytest.fixture(scope="session")
def expected() -> Counter[str]:
    """The words of the standard library, as one process counts them."""
    return words_of(every_source())


@pytest.fixture(scope="session")
def expected_of_some() -> Counter[str]:
    """Those of its packages from a to h, the eighth part of it."""
    folder = Path(sysconfig.get_paths()["stdlib"])
    chosen = [path.relative_to(folder).parts for path in every_source()]
    return words_of(folder.joinpath(*p) for p in chosen if len(p) > 1 and "a" <= p[0][0] <= "h")


def every_source() -> list[Path]:
    """The sources of the standard library."""
    return [
        path
        for path in Path(sysconfig.get_paths()["stdlib"]).rglob("*.py")
        if not {"site-packages", "dist-packages", "__pycache__"} & set(path.parts)
    ]


def words_of(paths: Iterable[Path]) -> Counter[str]:
    """One process with `collections.Counter`, written without a line of the topology's code."""
    counts: Counter[str] = Counter()
    for path in paths:
        text = path.read_bytes().lower().decode("ascii", "replace")
        counts.update(re.findall("[a-z]+", text))
    return counts
