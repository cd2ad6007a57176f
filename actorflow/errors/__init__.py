"""Every exception that actorflow raises, one tree.

::

    ActorflowError
    ├── OptionError (also ValueError)        an argument or option breaks a rule
    ├── TopologyError                        a topology has mistakes, all of them listed
    ├── ProtocolError                        a peer sent what the protocol forbids
    │   ├── FrameTooLarge
    │   └── Undecodable
    ├── EventNotEncodable                    an emitted event cannot leave its process
    ├── Refused                              the other side said no, with a reason
    │   ├── AlreadyStarted                   a child has that name; carries its row
    │   └── CannotServe                      a dispatcher ends one subscription
    ├── Closed                               the thing was closed by this side
    │   └── PoolClosed                       a task pool's query takes no more tasks
    ├── Broken                               the other side or the machinery died
    ├── DispatcherError                      somebody's own dispatcher broke a rule
    ├── PartitionError                       a partition function failed for an event
    ├── BadReturn                            a callback returned what it may not return
    ├── NotInStage                           a stage's verb was used outside a running stage
    ├── Ignore                               raised by an event's child: nothing is to be done
    ├── CallError                            a call to a stage got no result
    │   ├── CallTimeout (also TimeoutError)  no reply within the deadline
    │   ├── NoSuchStage                      no stage or child of that name
    │   ├── NoSuchChild                      a ConsumerSupervisor has no such child
    │   └── StageDown                        the called stage ended before it replied
    ├── RunError                             a run did not end well
    │   ├── StageFailed                      a stage raised; carries the remote traceback
    │   ├── StageKilled                      a stage's process died of a signal or exit status
    │   ├── StartFailed                      a stage did not come up
    │   └── IntensityExceeded                too many restarts; carries the root cause
    ├── CheckpointError                      a checkpoint file cannot be used
    ├── DeadLetterError                      a file of dead letters cannot be used
    ├── PartitionLost                        a join waits for a partition that is gone
    ├── SkewExceeded                         a join's inputs are too far apart
    ├── ItemFailed                           an asynchronous stage's call failed for an item
    ├── ScanError                            a scan did not come to a good end
    │   ├── ScanFailed                       it raised; carries which input, and the cause
    │   ├── ScanCrashed                      its process died; carries the exit status
    │   └── ScanNotPicklable (also TypeError)  it cannot travel to where it would run
    ├── AdmissionFull                        a task pool has no room for a task now
    ├── QueryFailed                          a query of a task pool failed; others go on
    │   └── QueryShed                        it held the most when memory ran out
    ├── BatchError                           an item given to a batcher has no result
    │   ├── BatcherClosed (also Closed)      the batcher takes no more items
    │   ├── BatcherGone (also Broken)        the batcher ended before it answered
    │   ├── BatchRejected (also Refused)     there is no room for the item now
    │   ├── BatchFailed                      the processor raised
    │   ├── ResourceAcquisitionFailed        the processor could not acquire its resources
    │   ├── ProcessorInvariantViolation      the processor returned too few results, or too many
    │   ├── ProcessorPanic                   the processor raised no Exception: SystemExit
    │   ├── ProcessorCrashed                 the processor's process died
    │   ├── BatchCancelled                   the item was given up before its batch was done
    │   └── BatchTimeout (also TimeoutError) a phase of the batch took too long
    └── PlatformUnsupported                  this operating system cannot run actorflow

Catch `ActorflowError` for everything. Errors carry attributes, not only text.

Each area has a module. Its names are imported from here, and the module when one of them is first
used: so no process loads the errors of what it does not run. Which module has which name is in the
list of all that is public, in ``actorflow/__init__.py``. Tracebacks and pickles name this package,
so an error may move from one area to another.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from actorflow import _HOME_OF

if TYPE_CHECKING:
    from actorflow.errors.base import *
    from actorflow.errors.batcher import *
    from actorflow.errors.dispatch import *
    from actorflow.errors.pool import *
    from actorflow.errors.protocol import *
    from actorflow.errors.scans import *
    from actorflow.errors.stage import *
    from actorflow.errors.stages import *
    from actorflow.errors.supervision import *
    from actorflow.errors.topology import *

__all__ = [name for name, home in _HOME_OF.items() if home.startswith(f"{__name__}.")]


def __getattr__(name: str) -> Any:
    """Import an error from its area, once."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_HOME_OF[name]), name)
    return value
