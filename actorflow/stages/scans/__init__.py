"""Scans: a stream to a changing set of them, in processes of their own, and their values merged."""

from actorflow.stages.scans.calls import ScansHandle
from actorflow.stages.scans.config import ScanConfig, ScanInfo, ScanRef, ScanStageReport
from actorflow.stages.scans.scan import (
    Done,
    Partial,
    Scan,
    filtering,
    latest,
    length,
    lmap,
    of,
    run_scan,
    scan_of,
    sum_of,
    take,
)
from actorflow.stages.scans.stage import DemuxStage, DistributeStage
from actorflow.stages.scans.tee import par_tee_with

__all__ = [
    "DemuxStage",
    "DistributeStage",
    "Done",
    "Partial",
    "Scan",
    "ScanConfig",
    "ScanInfo",
    "ScanRef",
    "ScanStageReport",
    "ScansHandle",
    "filtering",
    "latest",
    "length",
    "lmap",
    "of",
    "par_tee_with",
    "run_scan",
    "scan_of",
    "sum_of",
    "take",
]
