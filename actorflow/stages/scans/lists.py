"""The stages of scans as `actorflow.topology.scans` uses them: an event is a list."""

from __future__ import annotations

from typing import Any

from actorflow.stages.scans.stage import DemuxStage, DistributeStage, ScanStage

__all__ = ["DemuxToLists", "DistributeToLists"]


class _ToLists(ScanStage):
    """Emits what scans said since it last did so as one event."""

    def _emit_values(self, values: list[Any], token: int) -> None:
        super()._emit_values([values], token)


class DistributeToLists(_ToLists, DistributeStage):
    """A `DistributeStage` whose events are lists of values, in the order they were said."""


class DemuxToLists(_ToLists, DemuxStage):
    """A `DemuxStage` whose events are lists of tuples of key and value."""
