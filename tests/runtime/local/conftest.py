"""The fixture of the local runtime's tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.runtime.local.watched import Make, Watched
from tests.stopwatch import within


@pytest.fixture
def watched() -> Iterator[Make]:
    """Makes watched runtimes, and closes them, which must not take long."""
    made: list[Watched] = []

    def make(entry: str, **options: object) -> Watched:
        made.append(Watched(entry, **options))
        return made[-1].open()

    yield make
    if made:
        with within(5.0):
            for one in made:
                one.runtime.close()
