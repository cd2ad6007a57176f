"""The asynchronous stage: a window of calls beside the bodies that take their results."""

from actorflow.stages.buffered.bodies import ForEach
from actorflow.stages.buffered.stage import AsyncStage
from actorflow.stages.buffered.window import CallCounts

__all__ = ["AsyncStage", "CallCounts", "ForEach"]
