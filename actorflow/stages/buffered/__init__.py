"""The asynchronous stage: a window of calls beside the bodies that take their results."""

from actorflow.stages.buffered.bodies import ForEach
from actorflow.stages.buffered.counts import CallCounts
from actorflow.stages.buffered.stage import AsyncStage

__all__ = ["AsyncStage", "CallCounts", "ForEach"]
