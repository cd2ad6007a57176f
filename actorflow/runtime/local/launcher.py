"""The host's handle on its zygote: starts it, writes orders, reads reports, sees it end."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import field

from actorflow.errors import PlatformUnsupported
from actorflow.records import dataclass
from actorflow.runtime.local.control import ControlSocket
from actorflow.runtime.local.descriptors import above_stdio
from actorflow.runtime.local.kernel import wait_gone
from actorflow.runtime.local.orders import Boot, Record, decode_record, encode_record
from actorflow.runtime.local.scoreboard import Scoreboard

__all__ = ["LaunchOptions", "ZygoteProcess"]

# The path comes first: without it, actorflow itself might not be found, or another copy of it. The
# collector finds nothing in what imports make, and takes a twelfth of their time.
_PROGRAM = (
    "import gc, sys; gc.disable(); sys.path[:] = sys.argv[2:];"
    " from actorflow.runtime.local.zygote import main; main(int(sys.argv[1]))"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchOptions:
    """What a run's processes have in common.

    Args:
        import_paths: folders that come first on every stage's import path.
        preload: modules that the zygote imports before the first stage is forked.
        stdout_to_stderr: whether what stages print goes to standard error.
        entry: ``"module:function"`` that runs a stage.
        environment: variables that they have beside those of the host.
    """

    import_paths: Sequence[str] = ()
    preload: Sequence[str] = ()
    stdout_to_stderr: bool = False
    entry: str = "actorflow.runtime.local.entry:run_stage"
    environment: Mapping[str, str] = field(default_factory=dict)


class ZygoteProcess:
    """A running zygote, as its host sees it.

    It is made with `subprocess`, so the host, which has threads, is never forked in Python's sense:
    the child executes a new program at once. It gets a session of its own, away from the terminal's
    signals. It is *not* given a parent-death signal: that would follow the thread that made it.

    Args:
        options: what to import.
        scoreboard: the memory to share.

    Raises:
        OSError: no process, or no descriptor, is to be had.
        PlatformUnsupported: there is no Python executable to start.
    """

    def __init__(self, options: LaunchOptions, scoreboard: Scoreboard) -> None:
        if not sys.executable:
            raise PlatformUnsupported(
                "actorflow starts its stages with sys.executable, which is not set here"
            )
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        # The number is part of the command line, so it must not be one that stdio is put on.
        descriptor = above_stdio(theirs.detach())
        try:
            self._process = subprocess.Popen(
                _command(options, descriptor),
                pass_fds=(descriptor, scoreboard.descriptor),
                start_new_session=True,
                env={**os.environ, **options.environment},
            )
        except OSError:
            ours.close()
            raise
        finally:
            # Now the zygote alone holds its end: its death is our end of file.
            os.close(descriptor)
        self.pid = self._process.pid
        self.socket = ControlSocket(ours)
        self.order(
            Boot(
                host=os.getpid(),
                arguments=tuple(sys.argv),
                preload=tuple(options.preload),
                entry=options.entry,
                stdout_to_stderr=options.stdout_to_stderr,
                scoreboard=scoreboard.descriptor,
                slots=scoreboard.slots,
            )
        )

    def order(self, order: Record, descriptors: Sequence[int] = ()) -> None:
        """Send an order; the descriptors are the socket's from now on."""
        self.socket.send(encode_record(order), descriptors)

    def reports(self) -> list[Record]:
        """What it has reported since."""
        return [decode_record(frame) for frame in self.socket.receive()]

    def dismiss(self, seconds: float) -> bool:
        """Close the socket, on which it kills its stages and exits; true when it did so in time."""
        self.socket.close()
        return self._ended_within(seconds)

    def kill(self, seconds: float) -> None:
        """Kill it and reap it, from any thread; its stages die by their parent-death signal."""
        if self._process.poll() is None:
            self._process.kill()
            self._ended_within(seconds)

    def how_it_ended(self) -> str:
        """Its exit, in words."""
        code = self._process.poll()
        if code is None:
            return "it is still running"
        return f"signal {-code}" if code < 0 else f"exit status {code}"

    def _ended_within(self, seconds: float) -> bool:
        if self._process.poll() is None and hasattr(os, "pidfd_open"):
            # Not `Popen.wait` with a timeout, which looks again in growing intervals.
            wait_gone([self.pid], seconds)
            seconds = 0.1
        with contextlib.suppress(subprocess.TimeoutExpired):
            # A zombie by now, so this only reaps; the timeout is for one that would not die.
            self._process.wait(seconds)
        return self._process.returncode is not None


def _command(options: LaunchOptions, descriptor: int) -> list[str]:
    # An empty entry means the current folder, which a stage may change before it imports.
    path = [entry or os.getcwd() for entry in sys.path]
    path = [*(os.path.abspath(folder) for folder in options.import_paths), *path]
    # The host's own -O, -W, -X and so on, as multiprocessing does it.
    flags: list[str] = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]
    return [sys.executable, *flags, "-c", _PROGRAM, str(descriptor), *dict.fromkeys(path)]
