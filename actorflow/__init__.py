"""Stages in processes that hand each other events under back-pressure, and their supervision.

This is GenStage's protocol and OTP's supervision, for Python programs. Everything public is listed
here, once; nothing else is public but the rooms `actorflow.stages` (ready-made stages) and
`actorflow.testing` (a simulator and other aids). Names are imported when they are first used, so
that ``import actorflow`` stays cheap.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from actorflow.dispatch.base import Delivery as Delivery
    from actorflow.dispatch.base import Dispatched as Dispatched
    from actorflow.dispatch.base import Dispatcher as Dispatcher
    from actorflow.dispatch.base import Told as Told
    from actorflow.dispatch.broadcast import BroadcastDispatcher as BroadcastDispatcher
    from actorflow.dispatch.demand import DemandDispatcher as DemandDispatcher
    from actorflow.dispatch.hashing import stable_hash as stable_hash
    from actorflow.dispatch.partition import PartitionDispatcher as PartitionDispatcher
    from actorflow.dispatch.ready import ReadyDispatcher as ReadyDispatcher
    from actorflow.errors.base import ActorflowError as ActorflowError
    from actorflow.errors.base import Broken as Broken
    from actorflow.errors.base import Closed as Closed
    from actorflow.errors.base import OptionError as OptionError
    from actorflow.errors.base import PlatformUnsupported as PlatformUnsupported
    from actorflow.errors.base import Refused as Refused
    from actorflow.errors.batcher import BatchCancelled as BatchCancelled
    from actorflow.errors.batcher import BatcherClosed as BatcherClosed
    from actorflow.errors.batcher import BatcherGone as BatcherGone
    from actorflow.errors.batcher import BatchError as BatchError
    from actorflow.errors.batcher import BatchFailed as BatchFailed
    from actorflow.errors.batcher import BatchRejected as BatchRejected
    from actorflow.errors.batcher import BatchTimeout as BatchTimeout
    from actorflow.errors.batcher import ProcessorCrashed as ProcessorCrashed
    from actorflow.errors.batcher import ProcessorInvariantViolation as ProcessorInvariantViolation
    from actorflow.errors.batcher import ProcessorPanic as ProcessorPanic
    from actorflow.errors.batcher import ResourceAcquisitionFailed as ResourceAcquisitionFailed
    from actorflow.errors.dispatch import CannotServe as CannotServe
    from actorflow.errors.dispatch import DispatcherError as DispatcherError
    from actorflow.errors.dispatch import PartitionError as PartitionError
    from actorflow.errors.pool import AdmissionFull as AdmissionFull
    from actorflow.errors.pool import PoolClosed as PoolClosed
    from actorflow.errors.pool import QueryFailed as QueryFailed
    from actorflow.errors.pool import QueryShed as QueryShed
    from actorflow.errors.protocol import EventNotEncodable as EventNotEncodable
    from actorflow.errors.protocol import FrameTooLarge as FrameTooLarge
    from actorflow.errors.protocol import ProtocolError as ProtocolError
    from actorflow.errors.protocol import Undecodable as Undecodable
    from actorflow.errors.scans import ScanCrashed as ScanCrashed
    from actorflow.errors.scans import ScanError as ScanError
    from actorflow.errors.scans import ScanFailed as ScanFailed
    from actorflow.errors.scans import ScanNotPicklable as ScanNotPicklable
    from actorflow.errors.stage import BadReturn as BadReturn
    from actorflow.errors.stage import Ignore as Ignore
    from actorflow.errors.stage import NotInStage as NotInStage
    from actorflow.errors.stages import ItemFailed as ItemFailed
    from actorflow.errors.stages import PartitionLost as PartitionLost
    from actorflow.errors.stages import SkewExceeded as SkewExceeded
    from actorflow.errors.supervision import AlreadyStarted as AlreadyStarted
    from actorflow.errors.supervision import CallError as CallError
    from actorflow.errors.supervision import CallTimeout as CallTimeout
    from actorflow.errors.supervision import CheckpointError as CheckpointError
    from actorflow.errors.supervision import DeadLetterError as DeadLetterError
    from actorflow.errors.supervision import IntensityExceeded as IntensityExceeded
    from actorflow.errors.supervision import NoSuchChild as NoSuchChild
    from actorflow.errors.supervision import NoSuchStage as NoSuchStage
    from actorflow.errors.supervision import RunError as RunError
    from actorflow.errors.supervision import StageDown as StageDown
    from actorflow.errors.supervision import StageFailed as StageFailed
    from actorflow.errors.supervision import StageKilled as StageKilled
    from actorflow.errors.supervision import StartFailed as StartFailed
    from actorflow.errors.topology import Problem as Problem
    from actorflow.errors.topology import TopologyError as TopologyError
    from actorflow.observe.edges import EdgeStatistics as EdgeStatistics
    from actorflow.observe.statistics import RunStatistics as RunStatistics
    from actorflow.observe.statistics import StageStatistics as StageStatistics
    from actorflow.protocol.backoff import Backoff as Backoff
    from actorflow.protocol.delivery import UnfinishedBatch as UnfinishedBatch
    from actorflow.protocol.demand import SubscriptionOptions as SubscriptionOptions
    from actorflow.protocol.identity import Incarnation as Incarnation
    from actorflow.protocol.identity import StageId as StageId
    from actorflow.runtime.local.runtime import LocalRuntime as LocalRuntime
    from actorflow.stage.answers import FORWARD as FORWARD
    from actorflow.stage.answers import HOLD as HOLD
    from actorflow.stage.behaviour import Consumer as Consumer
    from actorflow.stage.behaviour import Producer as Producer
    from actorflow.stage.behaviour import ProducerConsumer as ProducerConsumer
    from actorflow.stage.behaviour import Subscription as Subscription
    from actorflow.stage.calls import LATER as LATER
    from actorflow.stage.calls import Sender as Sender
    from actorflow.stage.children import ChildTemplate as ChildTemplate
    from actorflow.stage.held import HeldBatch as HeldBatch
    from actorflow.stage.on_error import Retry as Retry
    from actorflow.stage.options import StageOptions as StageOptions
    from actorflow.stage.routing import MembersRefused as MembersRefused
    from actorflow.stage.routing import Redirect as Redirect
    from actorflow.stage.spec import StageSpec as StageSpec
    from actorflow.stages.broker import Broker as Broker
    from actorflow.stages.iterables import from_iterable as from_iterable
    from actorflow.stages.permits import permit as permit
    from actorflow.supervision.children import ChildInfo as ChildInfo
    from actorflow.supervision.consumer import ConsumerSupervisor as ConsumerSupervisor
    from actorflow.supervision.consumer import (
        ProducerConsumerSupervisor as ProducerConsumerSupervisor,
    )
    from actorflow.supervision.consumer_calls import (
        ConsumerSupervisorHandle as ConsumerSupervisorHandle,
    )
    from actorflow.supervision.consumer_rows import ConsumerChildCounts as ConsumerChildCounts
    from actorflow.supervision.consumer_rows import ConsumerChildInfo as ConsumerChildInfo
    from actorflow.supervision.events import DownMessage as DownMessage
    from actorflow.supervision.events import Outcome as Outcome
    from actorflow.supervision.events import RunDown as RunDown
    from actorflow.supervision.joining import RouterInfo as RouterInfo
    from actorflow.supervision.letters import DeadLetter as DeadLetter
    from actorflow.supervision.letters import read_letters as read_letters
    from actorflow.supervision.operations import ChildCounts as ChildCounts
    from actorflow.supervision.remains import Remains as Remains
    from actorflow.supervision.specs import ChildSpec as ChildSpec
    from actorflow.supervision.specs import DynamicSupervisorSpec as DynamicSupervisorSpec
    from actorflow.supervision.specs import Intensity as Intensity
    from actorflow.supervision.specs import Plan as Plan
    from actorflow.supervision.specs import RouterSpec as RouterSpec
    from actorflow.supervision.specs import SubscriptionSpec as SubscriptionSpec
    from actorflow.supervision.specs import SupervisorSpec as SupervisorSpec
    from actorflow.supervision.subtrees import SupervisorInfo as SupervisorInfo
    from actorflow.supervision.supervisor import Supervisor as Supervisor
    from actorflow.supervision.tasks import shielded as shielded
    from actorflow.topology.batcher import Batcher as Batcher
    from actorflow.topology.declarations import Defaults as Defaults
    from actorflow.topology.declarations import SubscribeTo as SubscribeTo
    from actorflow.topology.declarations import SupervisorOptions as SupervisorOptions
    from actorflow.topology.dynamic import DynamicSupervisor as DynamicSupervisor
    from actorflow.topology.model import Topology as Topology
    from actorflow.topology.run import Run as Run
    from actorflow.topology.scans import par_demux_scan as par_demux_scan
    from actorflow.topology.scans import par_distribute_scan as par_distribute_scan
    from actorflow.topology.scans import par_distribute_scan_m as par_distribute_scan_m
    from actorflow.topology.streams import AsyncStream as AsyncStream
    from actorflow.topology.streams import Stream as Stream
    from actorflow.topology.yaml import load as load

    __version__: str

_HOMES = {
    "actorflow.dispatch.base": ("Delivery", "Dispatched", "Dispatcher", "Told"),
    "actorflow.dispatch.broadcast": ("BroadcastDispatcher",),
    "actorflow.dispatch.demand": ("DemandDispatcher",),
    "actorflow.dispatch.hashing": ("stable_hash",),
    "actorflow.dispatch.partition": ("PartitionDispatcher",),
    "actorflow.dispatch.ready": ("ReadyDispatcher",),
    "actorflow.errors.base": (
        "ActorflowError",
        "Broken",
        "Closed",
        "OptionError",
        "PlatformUnsupported",
        "Refused",
    ),
    "actorflow.errors.batcher": (
        "BatchCancelled",
        "BatchError",
        "BatchFailed",
        "BatchRejected",
        "BatchTimeout",
        "BatcherClosed",
        "BatcherGone",
        "ProcessorCrashed",
        "ProcessorInvariantViolation",
        "ProcessorPanic",
        "ResourceAcquisitionFailed",
    ),
    "actorflow.errors.dispatch": (
        "CannotServe",
        "DispatcherError",
        "PartitionError",
    ),
    "actorflow.errors.pool": (
        "AdmissionFull",
        "PoolClosed",
        "QueryFailed",
        "QueryShed",
    ),
    "actorflow.errors.protocol": (
        "EventNotEncodable",
        "FrameTooLarge",
        "ProtocolError",
        "Undecodable",
    ),
    "actorflow.errors.scans": (
        "ScanCrashed",
        "ScanError",
        "ScanFailed",
        "ScanNotPicklable",
    ),
    "actorflow.errors.stage": (
        "BadReturn",
        "Ignore",
        "NotInStage",
    ),
    "actorflow.errors.stages": (
        "ItemFailed",
        "PartitionLost",
        "SkewExceeded",
    ),
    "actorflow.errors.supervision": (
        "AlreadyStarted",
        "CallError",
        "CallTimeout",
        "CheckpointError",
        "DeadLetterError",
        "IntensityExceeded",
        "NoSuchChild",
        "NoSuchStage",
        "RunError",
        "StageDown",
        "StageFailed",
        "StageKilled",
        "StartFailed",
    ),
    "actorflow.errors.topology": (
        "Problem",
        "TopologyError",
    ),
    "actorflow.observe.edges": ("EdgeStatistics",),
    "actorflow.observe.statistics": ("RunStatistics", "StageStatistics"),
    "actorflow.protocol.backoff": ("Backoff",),
    "actorflow.protocol.delivery": ("UnfinishedBatch",),
    "actorflow.protocol.demand": ("SubscriptionOptions",),
    "actorflow.protocol.identity": ("Incarnation", "StageId"),
    "actorflow.runtime.local.runtime": ("LocalRuntime",),
    "actorflow.stage.answers": ("FORWARD", "HOLD"),
    "actorflow.stage.behaviour": ("Consumer", "Producer", "ProducerConsumer", "Subscription"),
    "actorflow.stage.calls": ("LATER", "Sender"),
    "actorflow.stage.children": ("ChildTemplate",),
    "actorflow.stage.held": ("HeldBatch",),
    "actorflow.stage.on_error": ("Retry",),
    "actorflow.stage.options": ("StageOptions",),
    "actorflow.stage.routing": ("MembersRefused", "Redirect"),
    "actorflow.stage.spec": ("StageSpec",),
    "actorflow.stages.iterables": ("from_iterable",),
    "actorflow.stages.broker": ("Broker",),
    "actorflow.stages.permits": ("permit",),
    "actorflow.supervision.children": ("ChildInfo",),
    "actorflow.supervision.consumer": ("ConsumerSupervisor", "ProducerConsumerSupervisor"),
    "actorflow.supervision.consumer_calls": ("ConsumerSupervisorHandle",),
    "actorflow.supervision.consumer_rows": ("ConsumerChildCounts", "ConsumerChildInfo"),
    "actorflow.supervision.events": ("DownMessage", "Outcome", "RunDown"),
    "actorflow.supervision.joining": ("RouterInfo",),
    "actorflow.supervision.letters": ("DeadLetter", "read_letters"),
    "actorflow.supervision.operations": ("ChildCounts",),
    "actorflow.supervision.remains": ("Remains",),
    "actorflow.supervision.specs": (
        "ChildSpec",
        "DynamicSupervisorSpec",
        "Intensity",
        "Plan",
        "RouterSpec",
        "SubscriptionSpec",
        "SupervisorSpec",
    ),
    "actorflow.supervision.subtrees": ("SupervisorInfo",),
    "actorflow.supervision.supervisor": ("Supervisor",),
    "actorflow.supervision.tasks": ("shielded",),
    "actorflow.topology.batcher": ("Batcher",),
    "actorflow.topology.declarations": ("Defaults", "SubscribeTo", "SupervisorOptions"),
    "actorflow.topology.dynamic": ("DynamicSupervisor",),
    "actorflow.topology.model": ("Topology",),
    "actorflow.topology.run": ("Run",),
    "actorflow.topology.scans": (
        "par_demux_scan",
        "par_distribute_scan",
        "par_distribute_scan_m",
    ),
    "actorflow.topology.streams": ("AsyncStream", "Stream"),
    "actorflow.topology.yaml": ("load",),
}

_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = list(_HOME_OF)


def __getattr__(name: str) -> Any:
    """Import a public name from the room it lives in, once."""
    if name == "__version__":
        from importlib.metadata import version

        return version("actorflow")
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
