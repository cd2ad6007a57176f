"""The stages that run scans: every input to all of them, or each to the scan of its key."""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

from actorflow.errors import ActorflowError, OptionError
from actorflow.stage.behaviour import ProducerConsumer, Subscription
from actorflow.stage.calls import LATER, Sender
from actorflow.stage.companions import CompanionObserver, CompanionRuntime
from actorflow.stages.scans.broadcast import Distribution
from actorflow.stages.scans.calls import AddScan, RemoveScan, Report, WhichScans
from actorflow.stages.scans.config import MAX_BUFFER, ScanConfig, ScanInfo, ScanRef, window_of
from actorflow.stages.scans.core import Owner, ScanCore
from actorflow.stages.scans.demux import Demultiplexing, checked_restart
from actorflow.stages.scans.hosts import Hosts, HostsBeside, HostsInside
from actorflow.stages.scans.scan import Scan, function_of, pickled_scan, scan_of

__all__ = ["DemuxStage", "DistributeStage", "ScanStage"]


class ScanStage(ProducerConsumer):
    """What both stages share: the core, and what it has to do with batches and values."""

    finishes_later = True

    def __init__(self, config: ScanConfig | Mapping[str, Any] | None) -> None:
        self.config = _config(config)
        self.at_once = self.config.window or MAX_BUFFER
        self._core: ScanCore | None = None
        self._runtime: CompanionRuntime | None = None
        self._producers: set[Subscription] = set()
        self._ended = False

    def _make_core(self, hosts: Hosts, owner: Owner, workers: int | None) -> ScanCore:
        raise NotImplementedError

    # --- callbacks --------------------------------------------------------------------------------

    def on_start(self) -> None:
        """Open the place where scans run."""
        running = self._running()
        config = self.config
        hosts: Hosts = HostsInside(running.now)
        if config.worker != "inline":
            place = "thread" if config.worker == "thread" else "process"
            observer = CompanionObserver(said=self._said, ended=self._gone)
            self._runtime = running.companions(place, observer)
            hosts = HostsBeside(self._runtime)
        owner = Owner(
            now=running.now,
            after=running.after,
            finished=lambda batch, count: batch.finished(count),
            emit=self._emit_values,
            leave=self._leave,
            fail=_raise,
            log=running.log_record,
        )
        workers = None
        if config.worker == "pooled":
            workers = config.processes or os.cpu_count() or 1
        elif config.worker == "inline":
            workers = 1
        self._core = self._make_core(hosts, owner, workers)

    def handle_subscribe(
        self, side: str, options: Mapping[str, Any], subscription: Subscription
    ) -> None:
        """Remember whom to leave when there is nothing more to do with inputs."""
        if side == "producer":
            self._producers.add(subscription)

    def handle_cancel(self, reason: Any, subscription: Subscription) -> None:
        """A producer has gone."""
        self._producers.discard(subscription)

    def handle_events(self, events: list[Any], subscription: Subscription) -> Any:
        """Take inputs; the batch is finished when scans have consumed them."""
        self._scans.accept(events, self.later())
        return LATER

    def handle_info(self, message: Any) -> Any:
        """Values have left: their scans have room again."""
        match message:
            case ["scan values left", int(token)]:
                self._scans.left(token)
                return None
        return super().handle_info(message)

    def handle_call(self, request: Any, sender: Sender) -> Any:
        """Answer the operations of `ScansHandle`; a subclass may answer others."""
        try:
            match request:
                case AddScan(pickled, name, buffer):
                    return self._scans.add(pickled, name, _window(buffer))
                case RemoveScan(number, mode):
                    return self._scans.remove(number, mode)
                case WhichScans():
                    return self.scans()
                case Report():
                    return self._scans.report()
        except ActorflowError as error:
            sender.fail(error)  # the caller's mistake, and no reason to end
            return LATER
        return super().handle_call(request, sender)

    def on_end(self) -> Any:
        """The input is over: every scan ends, and its last values leave, before this stage ends."""
        end = self.later()

        def over() -> None:
            self._conclude()
            end.finished()

        self._scans.end(over)
        return None if self._ended else LATER

    def on_stop(self, reason: Any) -> Any:
        """Have every scan end now, each with its `final`."""
        if self._core is None or self._ended:
            return None

        waits = False

        def over() -> None:
            self._conclude()
            if waits:
                self.stopped()

        self._core.drop_all(over)
        waits = not self._ended
        return LATER if waits else None

    # --- for subclasses, in their callbacks -------------------------------------------------------

    def scans(self) -> list[ScanInfo]:
        """A row for each scan: the last thousand that have ended, then those that have not."""
        return self._scans.rows()

    # --- within -----------------------------------------------------------------------------------

    @property
    def _scans(self) -> ScanCore:
        assert self._core is not None, "on_start of the base class has not been called"
        return self._core

    def _said(self, host: int, messages: Sequence[Any]) -> None:
        self._scans.said(host, messages)

    def _gone(self, host: int, end: Any) -> None:
        self._scans.gone(host, end)

    def _emit_values(self, values: list[Any], token: int) -> None:
        self.emit(values)
        self.send_behind(["scan values left", token])

    def _leave(self) -> None:
        for subscription in list(self._producers):
            self.cancel(subscription, "done")

    def _conclude(self) -> None:
        self._ended = True
        report = self._scans.report()
        self.set_result(report)
        if self.config.inspect:
            self.notify(report)
        if self._runtime is not None:
            self._runtime.close()


class DistributeStage(ScanStage):
    """Gives every event to every scan, and emits their values.

    It goes on when each running scan has room: the slowest decides. A scan that is done, fails,
    crashes or is removed holds nobody up from that moment on. An event is acknowledged when every
    scan that got it has consumed it. When this stage's process dies, its successor begins with
    fresh scans, and gets the events that were not acknowledged again.

    Args:
        scans: the first scans: each a `Scan`, or as `scan_of` takes them.
        next_scans: called before each event in this stage's process; the scans that it returns are
            added and see that event first. A function, or ``"module:name"`` of one.
        config: a `ScanConfig`, or a map of its fields.

    Raises:
        OptionError: an argument breaks its rule.
        ScanNotPicklable: a scan cannot travel.

    Example:
        >>> from actorflow.stages.scans import length, sum_of
        >>> from actorflow.testing import run
        >>> inline = {"worker": "inline"}
        >>> run(DistributeStage, [3, 4], args={"scans": [sum_of(), length()], "config": inline})
        [0, 0, 3, 1, 7, 2]

    Idea from: streamly's ``parDistributeScan``.
    """

    def __init__(
        self,
        scans: Iterable[Any] = (),
        *,
        next_scans: Callable[[], Iterable[Any]] | str | None = None,
        config: ScanConfig | Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(config)
        self._first = _pickled_scans(scans)
        self._next_scans = None if next_scans is None else function_of("next_scans", next_scans)

    @classmethod
    def check_arguments(cls, arguments: Mapping[str, Any]) -> None:
        """Refuse scans and options that cannot be right where the topology is declared."""
        super().check_arguments(arguments)
        _pickled_scans(arguments.get("scans", ()))
        _config(arguments.get("config"))
        if arguments.get("next_scans") is not None:
            function_of("next_scans", arguments["next_scans"])

    def on_start(self) -> None:
        """Begin to run the first scans."""
        super().on_start()
        for pickled in self._first:
            self._scans.add(pickled)

    def add_scan(self, scan: Any, *, name: Any = None, buffer: int | None = None) -> ScanRef:
        """Run one more scan, from the next event on; for a subclass, in its callbacks.

        Args:
            scan: a `Scan`, or as `scan_of` takes them.
            name: its name; None for its number.
            buffer: its `max_buffer`; None for the configuration's.

        Raises:
            ScanNotPicklable: it cannot travel.
            Closed: the stage is about to end.
        """
        return self._scans.add(pickled_scan(scan_of(scan)), name, _window(buffer))

    def remove_scan(self, ref: ScanRef, *, mode: Literal["drain", "drop"] = "drain") -> None:
        """Feed a scan no more; for a subclass, in its callbacks.

        Args:
            ref: what `add_scan` returned.
            mode: ``"drain"``: it ends behind the events that it has; ``"drop"``: it ends now.

        Raises:
            NoSuchChild: it has ended.
        """
        self._scans.remove(ref.id, mode)

    def _make_core(self, hosts: Hosts, owner: Owner, workers: int | None) -> ScanCore:
        following = self._next_scans
        if following is None:
            return Distribution(self.config, hosts, owner, workers)
        return Distribution(self.config, hosts, owner, workers, lambda: _pickled_scans(following()))


class DemuxStage(ScanStage):
    """Gives each event to the scan of its key, and emits values as tuples of key and value.

    The scan of a key is made when the first event of that key comes. It runs until it is done, or
    the input is over. Events that a scan had and did not consume when it was done are treated like
    those that come later.

    Args:
        key: a function of an event that returns its key, something hashable.
        make: a function of a key that returns its scan, or None when its events are to be dropped.
            It is called in this stage's process.
        restart: what becomes of events of a key whose scan is done: they begin a ``"fresh"`` one,
            which `make` makes, are ``"ignore"``d, or are an ``"error"``.
        config: a `ScanConfig`, or a map of its fields; `emit` is ``"tagged"`` anyway.

    Functions may be given as ``"module:name"``.

    Raises:
        OptionError: an argument breaks its rule.

    Example:
        >>> from actorflow.stages.scans import length
        >>> from actorflow.testing import run
        >>> args = {"key": str.lower, "make": lambda key: length(), "config": {"worker": "inline"}}
        >>> list(run(DemuxStage, ["a", "B", "A"], args=args))
        [('a', 0), ('b', 0), ('a', 1), ('b', 1), ('a', 2)]

    Idea from: streamly's ``parDemuxScan``.
    """

    def __init__(
        self,
        *,
        key: Callable[[Any], Hashable] | str,
        make: Callable[[Any], Scan[Any, Any] | None] | str,
        restart: str = "fresh",
        config: ScanConfig | Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(replace(_config(config), emit="tagged"))
        self._key = function_of("key", key)
        self._make = function_of("make", make)
        self._restart = checked_restart(restart)

    @classmethod
    def check_arguments(cls, arguments: Mapping[str, Any]) -> None:
        """Refuse functions and options that cannot be right where the topology is declared."""
        super().check_arguments(arguments)
        for name in ("key", "make"):
            if name in arguments:
                function_of(name, arguments[name])
        checked_restart(arguments.get("restart", "fresh"))
        _config(arguments.get("config"))

    def _make_core(self, hosts: Hosts, owner: Owner, workers: int | None) -> ScanCore:
        return Demultiplexing(
            self.config,
            hosts,
            owner,
            workers,
            key=self._key,
            make=self._pickled,
            restart=self._restart,
        )

    def _pickled(self, key: Any) -> bytes | None:
        scan = self._make(key)
        return None if scan is None else pickled_scan(scan_of(scan))


def _raise(error: Exception) -> None:
    raise error


def _config(given: Any) -> ScanConfig:
    return ScanConfig.of({} if given is None else given)


def _window(buffer: int | None) -> int | None:
    """What `ScanCore.add` takes for a `buffer`."""
    if buffer is None:
        return -1
    if type(buffer) is not int:
        raise OptionError("buffer", "an integer, or none", buffer)
    return window_of(buffer)


def _pickled_scans(scans: Any) -> list[bytes]:
    if isinstance(scans, str | bytes | Mapping) or not isinstance(scans, Iterable):
        raise OptionError("scans", "a list of scans", scans)
    try:
        return [pickled_scan(scan_of(each)) for each in scans]
    except OptionError as error:
        raise OptionError("scans", "a list of scans", scans, str(error)) from error
