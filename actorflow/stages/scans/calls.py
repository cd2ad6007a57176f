"""What a program asks of a running stage of scans, and the handle that asks it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, Protocol

from actorflow.errors import CallError
from actorflow.records import dataclass
from actorflow.stages.scans.config import ScanInfo, ScanRef, ScanStageReport
from actorflow.stages.scans.scan import pickled_scan, scan_of

__all__ = ["AddScan", "RemoveScan", "Report", "ScansHandle", "WhichScans"]


@dataclass(frozen=True, slots=True)
class AddScan:
    """Run one more scan."""

    pickled: bytes
    name: Any
    buffer: int | None


@dataclass(frozen=True, slots=True)
class RemoveScan:
    """Feed a scan no more."""

    id: int
    mode: Literal["drain", "drop"]


@dataclass(frozen=True, slots=True)
class WhichScans:
    """Tell of every scan."""


@dataclass(frozen=True, slots=True)
class Report:
    """Tell what there is to say so far."""


class _Run(Protocol):
    """As much of `actorflow.Run` as is needed here."""

    @property
    def call(self) -> Callable[..., Any]:
        """Calls a stage: name, request, seconds."""


class ScansHandle:
    """The operations of a running `DistributeStage` or `DemuxStage`.

    Each may raise `CallTimeout`, and `StageDown` when the stage ends first.

    Args:
        run: the `Run`.
        stage: the stage's name in it.

    Example:
        >>> from types import SimpleNamespace
        >>> from actorflow.stages.scans import DistributeStage, length
        >>> from actorflow.testing import StageHarness
        >>> stage = StageHarness(DistributeStage)
        >>> run = SimpleNamespace(call=lambda name, request, timeout: stage.call(request))
        >>> scans = ScansHandle(run, "statistics")
        >>> ref = scans.add_scan(length(), name="how many")
        >>> [(scan.name, scan.state) for scan in scans.scans()]
        [('how many', 'running')]
    """

    def __init__(self, run: _Run, stage: str) -> None:
        self._run = run
        self._stage = stage

    def add_scan(
        self, scan: Any, *, name: Any = None, buffer: int | None = None, timeout: float = 5.0
    ) -> ScanRef:
        """Run one more scan, from the next event on that the stage takes.

        Args:
            scan: a `Scan`, or as `scan_of` takes them.
            name: its name, unlike that of any other that runs; None for its number.
            buffer: its `max_buffer`; None for the configuration's.
            timeout: seconds to wait for the stage's answer.

        Raises:
            ScanNotPicklable: it cannot travel; nothing is sent.
            OptionError: an argument breaks its rule.
            Closed: the stage is about to end.
        """
        found: ScanRef = self._ask(AddScan(pickled_scan(scan_of(scan)), name, buffer), timeout)
        return found

    def remove_scan(
        self, ref: ScanRef, *, mode: Literal["drain", "drop"] = "drain", timeout: float = 5.0
    ) -> None:
        """Feed a scan no more; the others do not wait for it from here on.

        Args:
            ref: what names it.
            mode: ``"drain"``: it ends behind the events that it has; ``"drop"``: it ends now.
            timeout: seconds to wait for the stage's answer, not for the scan's end.

        Raises:
            NoSuchChild: it has ended.
            OptionError: an unknown mode.
        """
        self._ask(RemoveScan(ref.id, mode), timeout)

    def scans(self, timeout: float = 5.0) -> list[ScanInfo]:
        """A row for each scan: the last thousand that have ended, then those that have not."""
        found: list[ScanInfo] = self._ask(WhichScans(), timeout)
        return found

    def report(self, timeout: float = 5.0) -> ScanStageReport:
        """What the stage's answer would be if it ended now."""
        found: ScanStageReport = self._ask(Report(), timeout)
        return found

    def _ask(self, request: Any, timeout: float) -> Any:
        try:
            return self._run.call(self._stage, request, timeout=timeout)
        except CallError as error:
            # What the stage refused, as it would be raised in one program.
            if type(error) is CallError and error.__cause__ is not None:
                raise error.__cause__ from error
            raise
