"""Errors of scans."""

from __future__ import annotations

from typing import Any

from actorflow.errors.base import ActorflowError

__all__ = [
    "ScanCrashed",
    "ScanError",
    "ScanFailed",
    "ScanNotPicklable",
]


class ScanError(ActorflowError):
    """A scan of `actorflow.stages.scans` did not come to a good end."""


class ScanFailed(ScanError):
    """A scan raised.

    Args:
        scan: its name.
        item: which of its inputs it had in hand, counted from 1; 0 when it had none.
        summary: the exception's type and text.
        cause: the exception that it raised, its own traceback behind it; None when no scan raised.
    """

    def __init__(
        self, scan: str, item: int, summary: str, cause: BaseException | None = None
    ) -> None:
        where = f"at its input {item}" if item else "before its first input"
        super().__init__(f"scan {scan} failed {where}: {summary}")
        self.scan = scan
        self.item = item
        self.summary = summary
        self.cause = cause
        self.__cause__ = cause

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.scan, self.item, self.summary, self.cause)


class ScanCrashed(ScanError):
    """The process of a scan died.

    Args:
        scan: the scan's name.
        exitcode: as `subprocess` counts: the exit status, or minus the number of the signal; None
            when there was no process to be had.
        detail: what else is known.
    """

    def __init__(self, scan: str, exitcode: int | None, detail: str = "") -> None:
        how = "could not be started" if exitcode is None else f"died with exit status {exitcode}"
        said = f"the process of scan {scan} {how}"
        super().__init__(f"{said}: {detail}" if detail else said)
        self.scan = scan
        self.exitcode = exitcode
        self.detail = detail

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.scan, self.exitcode, self.detail)


class ScanNotPicklable(ScanError, TypeError):
    """A scan cannot travel to where it would run; raised where it is given.

    Args:
        scan: the name of its class.
        detail: what cannot be pickled.
    """

    def __init__(self, scan: str, detail: str) -> None:
        super().__init__(
            f"a scan of class {scan} cannot be pickled: {detail}; open what it needs in initial()"
        )
        self.scan = scan
        self.detail = detail

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.scan, self.detail)
