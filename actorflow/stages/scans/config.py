"""How scans are run, and what can be seen of them."""

from __future__ import annotations

import math
from dataclasses import fields
from typing import Any, Literal

from actorflow.errors import OptionError
from actorflow.protocol.arguments import check_fields
from actorflow.records import dataclass
from actorflow.supervision.specs import Intensity

__all__ = ["MAX_BUFFER", "ScanConfig", "ScanInfo", "ScanRef", "ScanStageReport", "window_of"]

MAX_BUFFER = 1500
"""How many inputs may wait in a scan when nobody says."""

_CHOICES = {
    "worker": ("process", "pooled", "thread", "inline"),
    "on_error": ("raise", "drop", "restart"),
    "empty": ("discard", "hold", "stop"),
    "stop_when": ("source_end", "all_done"),
    "emit": ("values", "tagged"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanConfig:
    """How a stage runs its scans.

    Args:
        max_buffer: how many inputs may be with one scan, with those of its values that nobody has
            taken yet. 0 means the default, a negative number no limit: then inputs wait in this
            stage's memory, and count as finished when they are handed to a scan.
        max_buffer_bytes: how many bytes of encoded inputs may be with one scan, from 1; None for no
            limit. A single input that is larger passes alone.
        worker: where scans run: ``"process"``, each in one of its own; ``"pooled"``, several in
            each of `processes`; ``"thread"``; or ``"inline"``, in this stage's own callbacks.
        processes: how many processes ``"pooled"`` has, from 1; None for one per processor.
        on_error: when a scan raises or its process dies: ``"raise"`` ends the stage, after the
            other scans have been finalised; ``"drop"`` goes on without it; ``"restart"`` begins it
            anew, without what it had not consumed, or for a demultiplexer with the rest.
        max_restarts: more restarts than this within `max_seconds` end the stage.
        max_seconds: the time that `max_restarts` is about, above 0.
        empty: what becomes of inputs while no scan runs: ``"discard"``, ``"hold"`` them for the
            next scan, or ``"stop"`` the stage.
        stop_when: when the stage ends: at ``"source_end"``, or also when scans are ``"all_done"``.
        emit: ``"values"``, or ``"tagged"``: each value in a tuple behind its scan's name.
        finalize_timeout: seconds, above 0, that a scan may take for its end when it has no more
            inputs; then it is killed.
        inspect: whether consumers are notified of a `ScanStageReport` at the end.

    Raises:
        OptionError: an option breaks its rule.

    Example:
        >>> ScanConfig(max_buffer=0).max_buffer
        1500
        >>> ScanConfig(worker="fibre")
        Traceback (most recent call last):
        ...
        actorflow.errors.OptionError: worker must be one of process, pooled, thread, inline, got \
'fibre'
    """

    max_buffer: int = MAX_BUFFER
    max_buffer_bytes: int | None = None
    worker: Literal["process", "pooled", "thread", "inline"] = "process"
    processes: int | None = None
    on_error: Literal["raise", "drop", "restart"] = "raise"
    max_restarts: int = 3
    max_seconds: float = 5.0
    empty: Literal["discard", "hold", "stop"] = "discard"
    stop_when: Literal["source_end", "all_done"] = "source_end"
    emit: Literal["values", "tagged"] = "values"
    finalize_timeout: float = 5.0
    inspect: bool = False

    def __post_init__(self) -> None:
        if type(self.max_buffer) is not int:
            raise OptionError("max_buffer", "an integer", self.max_buffer)
        if self.max_buffer == 0:
            object.__setattr__(self, "max_buffer", MAX_BUFFER)
        for name in ("max_buffer_bytes", "processes"):
            value = getattr(self, name)
            if value is not None and (type(value) is not int or value < 1):
                raise OptionError(name, "an integer of at least 1, or none", value)
        for name, choices in _CHOICES.items():
            value = getattr(self, name)
            if value not in choices:
                raise OptionError(name, f"one of {', '.join(choices)}", value)
        if self.processes is not None and self.worker != "pooled":
            hint = "elsewhere the number of scans decides"
            raise OptionError("processes", "left out unless worker is pooled", self.processes, hint)
        seconds = self.finalize_timeout
        if type(seconds) not in (int, float) or not 0 < seconds < math.inf:
            raise OptionError("finalize_timeout", "a number of seconds above 0", seconds)
        if type(self.inspect) is not bool:
            raise OptionError("inspect", "true or false", self.inspect)
        _ = self.intensity

    @property
    def intensity(self) -> Intensity:
        """How many restarts are bearable."""
        return Intensity(max_restarts=self.max_restarts, max_seconds=self.max_seconds)

    @property
    def window(self) -> int | None:
        """`max_buffer`, or None for no limit."""
        return window_of(self.max_buffer)

    @classmethod
    def of(cls, given: object) -> ScanConfig:
        """A configuration from one, or from a map of its fields.

        Raises:
            OptionError: it is neither, or an option breaks its rule.

        Example:
            >>> ScanConfig.of({"worker": "inline"}).worker
            'inline'
        """
        if isinstance(given, ScanConfig):
            return given
        known = [each.name for each in fields(cls)]
        rule = "a ScanConfig, or a map of " + ", ".join(known)
        return cls(**check_fields("config", given, known, rule))


def window_of(max_buffer: int) -> int | None:
    """What a `max_buffer` allows: so many, the default for 0, None for any number.

    Example:
        >>> window_of(8), window_of(0), window_of(-1)
        (8, 1500, None)
    """
    return None if max_buffer < 0 else max_buffer or MAX_BUFFER


@dataclass(frozen=True, slots=True)
class ScanRef:
    """A scan of one stage, to be removed by it.

    Args:
        id: its number.
        name: its name.

    Example:
        >>> ScanRef(3, "how many")
        ScanRef(id=3, name='how many')
    """

    id: int
    name: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanInfo:
    """One row of a stage's scans.

    Args:
        id: the scan's number.
        name: its name; for a demultiplexer its key.
        state: ``"running"``; ``"draining"``: it ends behind the inputs that it has; ``"ending"``:
            it has been asked to end now; or how it ended: ``"done"``, ``"ended"``, ``"dropped"``,
            ``"failed"``, ``"crashed"`` or ``"killed"``.
        queued: how many inputs it has and has not consumed.
        consumed: how many it has consumed.
        emitted: how many values it has said.
        waiting_since: since when the others wait for it, on the stage's clock; None while they do
            not.
        restarts: how often it has been begun anew.
        lost: how many inputs went with its crashes.
        pid: its process; 0 when it has none.

    Example:
        >>> ScanInfo(id=1, name="how many", state="running", queued=2, consumed=98).queued
        2
    """

    id: int
    name: Any
    state: str
    queued: int = 0
    consumed: int = 0
    emitted: int = 0
    waiting_since: float | None = None
    restarts: int = 0
    lost: int = 0
    pid: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanStageReport:
    """The answer of a stage that ran scans.

    Args:
        elements: how many inputs it took.
        discarded: how many of them no scan was there for.
        values: how many values scans said.
        scans: a row for each scan there was, at most the last thousand.
        killed: the names of those that did not end in time.

    Example:
        >>> scans = (ScanInfo(id=1, name="how many", state="done", consumed=100, emitted=1),)
        >>> report = ScanStageReport(elements=100, discarded=0, values=1, scans=scans, killed=())
        >>> [(scan.name, scan.state) for scan in report.scans]
        [('how many', 'done')]
    """

    elements: int
    discarded: int
    values: int
    scans: tuple[ScanInfo, ...]
    killed: tuple[Any, ...]
