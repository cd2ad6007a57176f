"""The fixture of the tests that run commands in this process."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import structlog


@pytest.fixture
def plain_logs() -> Iterator[None]:
    """Undo what a command configures, so that no later log line goes to a stream that is gone."""
    yield
    structlog.reset_defaults()
