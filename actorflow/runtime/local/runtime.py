"""The local runtime: every stage a process of this machine."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import cloudpickle

from actorflow.errors import Closed, OptionError, PlatformUnsupported
from actorflow.protocol.arguments import check_permits
from actorflow.protocol.identity import Incarnation, StageId
from actorflow.protocol.messages import Message
from actorflow.protocol.wire import encode
from actorflow.supervision.runtime import (
    ChildSignal,
    LinkCounters,
    Observation,
    Runtime,
    RuntimeBroken,
    TimerFired,
)
from actorflow.supervision.specs import StageSpec

if TYPE_CHECKING:
    from actorflow.runtime.local.launcher import LaunchOptions
    from actorflow.runtime.local.permits import PermitOffice
    from actorflow.runtime.local.processes import Processes

__all__ = ["LocalRuntime"]

CLOSE_WITHIN = 15.0
"""Seconds after which `close` gives up waiting; everything in it has a shorter limit of its own."""

_SIGNALS = {"terminate": signal.SIGTERM, "kill": getattr(signal, "SIGKILL", signal.SIGTERM)}


class LocalRuntime(Runtime):
    """Runs stages as processes, forked by a zygote, seen to by one thread of the host.

    The methods of `Runtime` may be called from any thread, also from `observe`; they leave their
    work to the reactor's thread and return. What a method is given is encoded before it returns, so
    what cannot be encoded is reported where it was passed.

    A link that cannot be made because the host is out of descriptors kills nobody: it is observed
    as a `SubscriptionEnded` of the consumer, with a reason that begins with ``"no_link"``.

    Args:
        import_paths: folders that come first on every stage's import path.
        preload: modules to import once, in the zygote. One that cannot be imported is a warning
            in the log; the stage that needs it fails by itself.
        stdout_to_stderr: whether what stages print goes to standard error.
        boot_within: seconds the zygote may take to import `preload`.
        entry: ``"module:function"`` that runs a stage, for tests.
        count_links: whether links are counted, so that `Run.stats` has edges.
        permits: how many permits the processes share, by name, each from 1.

    Raises:
        PlatformUnsupported: this system has no `fork`.
        OptionError: an option breaks its rule.

    Example:
        >>> from actorflow import Run, Topology
        >>> from actorflow.testing.topologies import Sink
        >>> plan = Topology("service").stage("sink", Sink).plan()
        >>> with Run(plan, LocalRuntime(preload=["json"])) as run:
        ...     run.stats().name
        'service'
    """

    def __init__(
        self,
        *,
        import_paths: Sequence[str] = (),
        preload: Sequence[str] = (),
        stdout_to_stderr: bool = False,
        boot_within: float = 60.0,
        entry: str = "actorflow.runtime.local.entry:run_stage",
        count_links: bool = True,
        permits: Mapping[str, int] | None = None,
    ) -> None:
        if not hasattr(os, "fork"):
            raise PlatformUnsupported(
                "the local runtime starts its stages with fork, which this system does not have;"
                " use Linux, macOS or the Windows Subsystem for Linux"
            )
        for option, names in (("import_paths", import_paths), ("preload", preload)):
            if isinstance(names, str | bytes) or not isinstance(names, Sequence):
                raise OptionError(option, "a list of names", names)
        if type(boot_within) not in (int, float) or not boot_within > 0:
            raise OptionError("boot_within", "a number of seconds above 0", boot_within)
        # Imported only now: these need modules that do not exist where the check above fails, and
        # `import actorflow` must work there.
        from actorflow.runtime.local.launcher import LaunchOptions
        from actorflow.runtime.local.reactor import Reactor
        from actorflow.runtime.local.scoreboard import Scoreboard

        self._options = LaunchOptions(
            import_paths=tuple(import_paths),
            preload=tuple(preload),
            stdout_to_stderr=stdout_to_stderr,
            entry=entry,
        )
        self._permits = check_permits(permits if permits is not None else {})
        self._office: PermitOffice | None = None
        self._boot_within = boot_within
        self._count_links = count_links
        self._owner = os.getpid()
        self._reactor = Reactor("actorflow-runtime", self._crashed)
        self._scoreboard = Scoreboard()
        self._processes: Processes | None = None
        self._observe: Callable[[Observation], None] = _ignore
        self._closed = False
        self._zygote_pid = 0
        self._sharing: set[StageId] = set()
        """The stages whose links have lanes."""

    def open(self, observe: Callable[[Observation], None]) -> None:
        """Start the zygote and the reactor; stages may be spawned at once, they wait for it.

        Raises:
            Closed: it was opened or closed before.
            OSError: the zygote cannot be started.
        """
        if self._closed or self._processes is not None:
            raise Closed("a runtime is opened once; make another one")
        from actorflow.runtime.local.launcher import ZygoteProcess
        from actorflow.runtime.local.processes import Processes

        self._observe = observe
        zygote = ZygoteProcess(self._open_office(), self._scoreboard)
        self._zygote_pid = zygote.pid
        self._processes = Processes(self._reactor, zygote, self._scoreboard, observe)
        self._processes.start(self._boot_within)
        self._reactor.start()

    def _open_office(self) -> LaunchOptions:
        """Have permits where there are some; returns what the processes have in common."""
        if not self._permits:
            return self._options
        from actorflow.runtime.local.permits import PermitOffice
        from actorflow.stages.permits import PERMITS_ADDRESS

        self._office = PermitOffice(self._permits, self._reactor)
        return replace(self._options, environment={PERMITS_ADDRESS: self._office.address})

    def now(self) -> float:
        """Seconds on the monotonic clock."""
        return time.monotonic()

    def spawn(self, child: Incarnation, spec: StageSpec) -> None:
        """Fork a process that becomes this stage; `Started` or `Exited` follows.

        The specification is pickled before this returns. One that cannot be is observed as an
        `Exited` that says why. A stage with a place gets a thread of this program instead, and its
        specification as it is.
        """
        from actorflow.runtime.local.links import shares

        if shares(spec.options):
            self._sharing.add(child.stage)
        if spec.place is not None:
            self._post(lambda processes: processes.host(child, spec))
            return
        try:
            data = cloudpickle.dumps(spec)
        except Exception as error:  # noqa: BLE001
            # Pickling runs the user's code, which may raise anything.
            detail = f"its class or arguments cannot be sent: {type(error).__name__}: {error}"
            self._post(lambda processes: processes.refuse(child, detail))
            return
        self._post(lambda processes: processes.spawn(child, data))

    def link(
        self,
        ref: int,
        producer: Incarnation,
        consumer: Incarnation,
        to_producer: Message,
        to_consumer: Message,
    ) -> None:
        """Make two pipes; each side gets its message and two descriptors: (read end, write end).

        With a producer that may share memory it gets a third, its end of a lane.
        """
        frames = encode(to_producer), encode(to_consumer)
        lane = producer.stage in self._sharing
        self._post(lambda processes: processes.link(ref, producer, consumer, *frames, lane=lane))

    def send(self, child: Incarnation, message: Message) -> None:
        """Send a message on the child's control link; dropped when the child is gone."""
        frame = encode(message)
        self._post(lambda processes: processes.send(child, frame))

    def signal(self, child: Incarnation, signal: ChildSignal) -> None:
        """Send SIGTERM to the stage, or SIGKILL to it and everything in its process group."""
        number = _SIGNALS.get(signal)
        if number is None:
            raise OptionError("signal", "one of " + ", ".join(_SIGNALS), signal)
        group = signal == "kill"
        self._post(lambda processes: processes.signal(child, number, group=group))

    def timer(self, seconds: float, token: int) -> None:
        """Observe `TimerFired(token)` after so many seconds."""
        moment = time.monotonic() + seconds
        fire = partial(self._fire, token)
        self._reactor.post(lambda: self._reactor.call_at(moment, fire))

    def counters(self, stage: StageId) -> Mapping[str, int]:
        """The stage's counters, also when it hangs, after it died and after `close`."""
        return self._scoreboard.counters(stage)

    def count_link(
        self, ref: int, producer: StageId, consumer: StageId, partition: Any = None
    ) -> int:
        """A place on the scoreboard for a link, if there is one and links are counted."""
        if not self._count_links:
            return -1
        return self._scoreboard.links.add(ref, producer, consumer, partition, self.now())

    def link_over(self, ref: int) -> None:
        """A link's place may be given away once all others are taken."""
        self._scoreboard.links.over(ref)

    def links(self) -> list[LinkCounters]:
        """What was counted on links, also on those that are over, and after `close`."""
        return self._scoreboard.links.read()

    def close(self) -> None:
        """End every process, descriptor and thread of this runtime. May be repeated.

        Returns when that is done, at the latest after some seconds. Called from `observe`, it ends
        the processes at once and the thread when `observe` returns. An `observe` that does not
        return keeps the thread, and that is logged; the processes end all the same.
        """
        if os.getpid() != self._owner:
            return  # A forked copy of the host: the processes are not its children.
        self._closed = True
        if self._reactor.on_thread:
            self._shut_down()
            self._reactor.stop()
            return
        self._reactor.post(self._shut_down)
        self._reactor.stop()
        if self._reactor.join(CLOSE_WITHIN):
            # It never ran, or had failed: then nothing that was posted has been done.
            self._shut_down()
        elif self._processes is not None:
            # The thread sits in an observer that does not return. Its processes end all the same.
            self._processes.abandon()

    def describe(self) -> Mapping[str, Any]:
        """The zygote's process id, whether it is ready, and how many processes there are."""
        processes = self._processes
        return {
            "runtime": "local",
            "zygote": self._zygote_pid,
            "ready": processes is not None and processes.booted,
            "processes": 0 if processes is None else len(processes),
        }

    # --- on the reactor's thread -----------------------------------------------------------------

    def _post(self, callback: Callable[[Processes], None]) -> None:
        self._reactor.post(lambda: self._with_processes(callback))

    def _with_processes(self, callback: Callable[[Processes], None]) -> None:
        if self._processes is not None and not self._closed:
            callback(self._processes)

    def _fire(self, token: int) -> None:
        if not self._closed:
            self._observe(TimerFired(token))

    def _shut_down(self) -> None:
        if self._office is not None:
            self._office.close()
        if self._processes is None:
            self._scoreboard.close()
        else:
            self._processes.shut_down()

    def _crashed(self, error: BaseException) -> None:
        detail = f"the runtime's own thread failed: {type(error).__name__}: {error}"
        if self._processes is None:
            self._observe(RuntimeBroken(detail))
        else:
            self._processes.break_down(detail)


def _ignore(observation: Observation) -> None:
    """Nobody observes before `open`."""
