"""A bare fork server: the least that a process per event can cost, with actorflow's imports.

``python -m benchmarks._fork_server SOCKET`` reads 4-byte numbers from a socket, forks for each, and
the child writes twice the number back and exits. The server does nothing but fork and reap: no
child has a group, a deadline, a traceback or a death that is told, and it keeps every descriptor.
"""

from __future__ import annotations

import gc
import os
import socket
import sys
from contextlib import suppress
from struct import Struct

import actorflow.runtime.local.entry
import actorflow.runtime.local.fresh
import actorflow.supervision.consumer  # noqa: F401

NUMBER = Struct("<I")


def main(descriptor: int) -> None:
    """Serve until the socket ends."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0, descriptor)
    gc.freeze()
    waiting = b""
    while data := sock.recv(4096):
        waiting += data
        while len(waiting) >= NUMBER.size:
            (number,) = NUMBER.unpack_from(waiting)
            waiting = waiting[NUMBER.size :]
            if not os.fork():
                sock.send(NUMBER.pack(2 * number))
                os._exit(0)
            with suppress(ChildProcessError):
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass
    with suppress(ChildProcessError):
        while True:
            os.waitpid(-1, 0)


if __name__ == "__main__":
    main(int(sys.argv[1]))
