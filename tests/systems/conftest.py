"""What the tests of the ready-made systems share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.systems.pool_tasks import RAN


@pytest.fixture(autouse=True)
def nothing_ran() -> Iterator[None]:
    """Every test of the pool begins with an empty record."""
    RAN.clear()
    yield
    RAN.clear()
