"""Standard output and error as a command uses them: whoever reads them may have gone."""

from __future__ import annotations

import io
import os
import sys
from typing import TextIO

__all__ = ["Unbreakable", "ensure_streams", "print_out"]


class Unbreakable:
    """Writes to a stream for as long as that works, and then drops what it is given.

    In ``actorflow run … 2>&1 | tee log`` Ctrl-C ends `tee` as well; the drain that follows must not
    fail because nobody reads its log any more.

    Args:
        stream: where to write.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write and flush."""
        try:
            self._stream.write(text)
            self._stream.flush()
        except ValueError:
            pass  # how Python says that the stream is closed
        except OSError:
            _let_go(self._stream)
        return len(text)

    def flush(self) -> None:
        """Nothing is held back."""

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        return self._stream.isatty()

    def fileno(self) -> int:
        """The descriptor, for the terminal's size."""
        return self._stream.fileno()


def ensure_streams() -> None:
    """Give a program that was started without standard output or error the null device for them.

    Otherwise the next thing that is opened gets the number, and what a stage prints goes into it.
    """
    if os.name == "posix":
        from actorflow.runtime.local.descriptors import fill_stdio

        fill_stdio()
    for number, name in ((1, "stdout"), (2, "stderr")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, "w", encoding="utf-8", closefd=False))  # noqa: SIM115


def print_out(text: str, stream: TextIO) -> bool:
    """Print a command's result, whatever characters are in it, also when nobody reads on.

    Returns:
        False when it could not be written to the end, which is said on standard error.
    """
    if isinstance(stream, io.TextIOWrapper):
        # A name of a file that is no proper text must not cost the whole report.
        stream.reconfigure(errors="backslashreplace")
    try:
        print(text, file=stream, flush=True)
    except OSError as error:
        # Nobody reads on, as in `actorflow run … | head`, or the disk is full.
        _let_go(stream)
        if not isinstance(error, BrokenPipeError):
            Unbreakable(sys.stderr).write(f"actorflow: the result could not be written: {error}\n")
            return False
    return True


def _let_go(stream: TextIO) -> None:
    """Have what is left in a stream, and all that follows, go nowhere.

    The interpreter flushes its streams once more when it ends, and would turn the exit code into
    120 when that fails again.
    """
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, stream.fileno())
    os.close(null)
