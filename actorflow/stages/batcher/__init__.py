"""Batches: items of one key are processed together, when their policy says so.

`BatcherStage` puts the events of a pipeline into batches; `BatcherServer` answers calls, one for
each item, and `actorflow.Batcher` is its handle.
"""

from actorflow.stages.batcher.closing import ShutDown as ShutDown
from actorflow.stages.batcher.commands import BatcherStatistics as BatcherStatistics
from actorflow.stages.batcher.commands import Outcome as Outcome
from actorflow.stages.batcher.commands import ShutdownReport as ShutdownReport
from actorflow.stages.batcher.driver import Flush as Flush
from actorflow.stages.batcher.policies import Balanced as Balanced
from actorflow.stages.batcher.policies import Duration as Duration
from actorflow.stages.batcher.policies import Immediate as Immediate
from actorflow.stages.batcher.policies import Limits as Limits
from actorflow.stages.batcher.policies import OnFull as OnFull
from actorflow.stages.batcher.policies import Size as Size
from actorflow.stages.batcher.processors import Err as Err
from actorflow.stages.batcher.processors import Ok as Ok
from actorflow.stages.batcher.processors import Processor as Processor
from actorflow.stages.batcher.server import BatcherServer as BatcherServer
from actorflow.stages.batcher.stage import BatcherStage as BatcherStage
from actorflow.stages.batcher.stage import ItemFailed as ItemFailed
from actorflow.stages.batcher.stage import KeyedBatch as KeyedBatch

__all__ = [
    "Balanced",
    "BatcherServer",
    "BatcherStage",
    "BatcherStatistics",
    "Duration",
    "Err",
    "Flush",
    "Immediate",
    "ItemFailed",
    "KeyedBatch",
    "Limits",
    "Ok",
    "OnFull",
    "Outcome",
    "Processor",
    "ShutDown",
    "ShutdownReport",
    "Size",
]
