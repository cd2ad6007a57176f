"""A host program to be killed: starts stages, says which processes there are, and waits.

Run as ``python host.py ENTRY PRELOAD [fork]``; with ``fork``, a forked copy of it waits as well,
with a copy of every descriptor.
"""

from __future__ import annotations

import os
import sys
import threading

from tests.runtime.local.watched import Watched, stage


def main() -> None:
    """Start three stages and print every process id, in one line."""
    entry, preload, *forked = sys.argv[1:]
    one = Watched(entry, preload=[preload]).open()
    pids = [one.runtime.describe()["zygote"]]
    if preload != "hangs":
        children = [one.spawn(stage("doomed", index)) for index in range(3)]
        for child in children:
            one.tell(child, "hello")
            pids += [one.started(child)]
            pids += [int(text) for text in one.texts(child, 1) if text.isdigit()]
    if forked:
        pid = os.fork()
        if pid:
            pids.append(-pid)
        else:
            os.close(1)
            threading.Event().wait()
    print(*pids, flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main()
