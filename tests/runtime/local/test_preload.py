"""What the zygote imports besides what it is told at its start."""

from __future__ import annotations

from typing import Any

import pytest

from actorflow.runtime.local.launcher import ZygoteProcess
from actorflow.runtime.local.orders import Fork, Preload, Record
from tests.runtime.local.watched import Make, stage

pytestmark = pytest.mark.processes


def test_what_reads_a_class_by_value_is_imported_once_and_when_one_comes(
    watched: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the process that needs it is ordered, so that all share it."""
    orders: list[Record] = []
    right = ZygoteProcess.order

    def order(self: ZygoteProcess, order: Record, *descriptors: Any) -> None:
        orders.append(order)
        right(self, order, *descriptors)

    monkeypatch.setattr(ZygoteProcess, "order", order)
    one = watched("echo")
    one.started(one.spawn())
    assert [each for each in orders if isinstance(each, Preload)] == []
    for name in ("first", "second"):
        one.started(one.spawn(stage(name), of=lambda: 5))
    told = [each for each in orders if isinstance(each, Preload | Fork)]
    assert told.count(Preload("cloudpickle")) == 1
    assert isinstance(told[told.index(Preload("cloudpickle")) + 1], Fork)
