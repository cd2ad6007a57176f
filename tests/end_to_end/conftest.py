"""Fixtures of the end-to-end tests."""

from __future__ import annotations

import re
import sysconfig
from collections import Counter
from collections.abc import Iterator
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
    """One process with `collections.Counter`, written without a line of the topology's code."""
    counts: Counter[str] = Counter()
    for path in Path(sysconfig.get_paths()["stdlib"]).rglob("*.py"):
        if not {"site-packages", "dist-packages", "__pycache__"} & set(path.parts):
            text = path.read_bytes().lower().decode("ascii", "replace")
            counts.update(re.findall("[a-z]+", text))
    return counts
