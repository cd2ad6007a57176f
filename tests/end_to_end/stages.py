"""Stages that the end-to-end tests run in processes of their own."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from typing import Any

from actorflow import LATER, Consumer, Producer, ProducerConsumer, Sender, Subscription

PATIENCE = 30.0
"""Seconds after which a stage gives up waiting for its test, which has failed by then."""


def append(path: str, *words: object) -> None:
    """Add a line to a file in one write, so that a kill leaves all of it or nothing."""
    line = " ".join(map(str, words)) + "\n"
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(descriptor, line.encode())
    finally:
        os.close(descriptor)


def wait_for_file(path: str) -> None:
    """Wait until the test has made a file."""
    deadline = time.monotonic() + PATIENCE
    while not os.path.exists(path) and time.monotonic() < deadline:
        time.sleep(0.001)


class Numbers(Producer):
    """Counts from `start`, to `limit` when there is one; its result is where it stopped."""

    def __init__(self, limit: int | None = None, start: int = 0) -> None:
        self.next = start
        self.limit = limit

    def handle_demand(self, demand: int) -> range:
        end = self.next + demand
        if self.limit is not None and end >= self.limit:
            end = self.limit
            self.finish()
        events = range(self.next, end)
        self.next = end
        return events

    def on_stop(self, reason: Any) -> None:
        self.set_result(self.next)


class Once(Producer):
    """Emits everything it has in answer to the first demand, and ends in the same callback."""

    def __init__(self, count: int, size: int = 0) -> None:
        self.left: list[Any] = list(range(count))
        if size:
            self.left = [bytes([number % 256]) * size for number in self.left]

    def handle_demand(self, demand: int) -> list[Any]:
        self.finish()
        events, self.left = self.left, []
        return events


class Idle(Producer):
    """Emits nothing by itself; a cast is a list of events to emit."""

    def handle_demand(self, demand: int) -> None:
        return None

    def handle_cast(self, message: list[Any]) -> list[Any]:
        return message


class Ends(Producer):
    """Has no events, and ends when it is told to."""

    def handle_demand(self, demand: int) -> None:
        """Nothing."""

    def handle_cast(self, message: Any) -> None:
        self.stop()


class Pass(ProducerConsumer):
    """Passes events on."""

    def handle_events(self, events: list[Any], subscription: Subscription) -> list[Any]:
        return events


class Slowly(ProducerConsumer):
    """Passes events on, taking its time over each batch."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def handle_events(self, events: list[Any], subscription: Subscription) -> list[Any]:
        time.sleep(self.seconds)
        return events


class Collect(Consumer):
    """Writes each event's number to a file, a line per batch; its result is how many there were."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.count = 0

    def handle_events(self, events: list[int], subscription: Subscription) -> None:
        append(self.path, *events)
        self.count += len(events)

    def on_stop(self, reason: Any) -> None:
        self.set_result(self.count)


class Count(Consumer):
    """Counts events and adds up their sizes, each batch in so many seconds."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds
        self.events = 0
        self.bytes = 0

    def handle_events(self, events: list[Any], subscription: Subscription) -> None:
        if self.seconds:
            time.sleep(self.seconds)
        self.events += len(events)
        self.bytes += sum(len(event) for event in events if isinstance(event, bytes))

    def on_stop(self, reason: Any) -> None:
        self.set_result({"events": self.events, "bytes": self.bytes})


class Some(Consumer):
    """Takes so many events, or a few more, and ends."""

    def __init__(self, count: int) -> None:
        self.left = count

    def handle_events(self, events: list[Any], subscription: Subscription) -> None:
        self.left -= len(events)
        if self.left <= 0:
            self.stop()


class Sink(Consumer):
    """Takes events and does nothing with them."""

    def handle_events(self, events: list[Any], subscription: Subscription) -> None:
        return None


class Brief(Consumer):
    """Ends in good order as soon as it has started."""

    def on_start(self) -> None:
        self.send_after(0, "end")

    def handle_info(self, message: Any) -> None:
        self.stop()


class Sleep(Consumer):
    """Sleeps in its callback, and says in a file that it does."""

    def __init__(self, seconds: float, path: str) -> None:
        self.seconds = seconds
        self.path = path

    def handle_events(self, events: list[Any], subscription: Subscription) -> None:
        append(self.path, os.getpid())
        time.sleep(self.seconds)


class Defiant(Consumer):
    """Ignores SIGTERM, and stays in its callback until it is killed."""

    def __init__(self, path: str) -> None:
        self.path = path

    def on_start(self) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)

    def handle_events(self, events: list[Any], subscription: Subscription) -> None:
        append(self.path, os.getpid())
        time.sleep(PATIENCE)


class ForksAGrandchild(Consumer):
    """Leaves a child of its own behind, in a session of its own, and says its number in a file."""

    def __init__(self, path: str) -> None:
        self.path = path

    def on_start(self) -> None:
        pid = os.fork()
        if not pid:
            os.setsid()
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            append(self.path, os.getpid())
            time.sleep(PATIENCE)
            os._exit(0)

    def handle_events(self, events: list[Any], subscription: Subscription) -> None:
        return None


class StartsWhenAllowed(Consumer):
    """Hangs in its start until a file exists."""

    def __init__(self, path: str) -> None:
        self.path = path

    def on_start(self) -> None:
        wait_for_file(self.path)

    def handle_events(self, events: list[Any], subscription: Subscription) -> None:
        return None


class FailsOnce(ProducerConsumer):
    """Fails at one event, the first time only: a file remembers."""

    def __init__(self, at: int, path: str) -> None:
        self.at = at
        self.path = path

    def handle_events(self, events: list[int], subscription: Subscription) -> list[int]:
        if self.at in events and not os.path.exists(self.path):
            append(self.path, "failed")
            raise ValueError(f"cannot take {self.at}")
        return events


class KilledOnce(ProducerConsumer):
    """Is killed in its callback at one event, the first time only: a file remembers."""

    def __init__(self, at: int, path: str) -> None:
        self.at = at
        self.path = path

    def handle_events(self, events: list[int], subscription: Subscription) -> list[int]:
        if self.at in events and not os.path.exists(self.path):
            append(self.path, "killed")
            os.kill(os.getpid(), signal.SIGKILL)
        return events


class Answers(Consumer):
    """Answers calls in every way that there is, and keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[Any] = []
        self.waiting: Sender | None = None

    def handle_events(self, events: list[Any], subscription: Subscription) -> None:
        self.told += events

    def handle_call(self, request: Any, sender: Sender) -> Any:  # noqa: PLR0911
        match request:
            case "told":
                return self.told
            case "pid":
                return os.getpid()
            case "raise":
                raise KeyError("nothing of that name")
            case "later":
                self.send_after(0.01, "reply")
                self.waiting = sender
                return LATER
            case "never":
                return LATER
            case "exit":
                os._exit(9)
            case "unsendable":
                return threading.Lock()
            case ["wait for", str(path)]:
                wait_for_file(path)
                return "waited"
            case ["sleep", seconds]:
                time.sleep(seconds)
                return "slept"
            case _:
                return request

    def handle_cast(self, message: Any) -> None:
        self.told.append(message)

    def handle_info(self, message: Any) -> None:
        if message == "reply" and self.waiting is not None:
            self.waiting.reply("at last")
        else:
            self.told.append(message)


class Needy(Exception):
    """Cannot be made from its text alone, which defeats pickle."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"{text} ({code})")
        self.code = code
        self.text = text


class WithALock(Exception):
    """Holds what cannot be pickled."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.lock = threading.Lock()


class Unspeakable(Exception):
    """Cannot even say what it is."""

    def __str__(self) -> str:
        raise RuntimeError("no words")

    __repr__ = __str__


ERRORS = {
    "plain": lambda: ValueError("a plain mistake"),
    "needy": lambda: Needy(7, "a needy mistake"),
    "lock": lambda: WithALock("a locked mistake"),
    "unspeakable": Unspeakable,
    "exit": lambda: SystemExit(3),
    "exit_text": lambda: SystemExit("a mistake in words"),
    "interrupt": KeyboardInterrupt,
}


class Fails(Producer):
    """Raises one of `ERRORS` in one of its callbacks."""

    def __init__(self, where: str, what: str = "plain") -> None:
        self.where = where
        self.what = what
        self._maybe("init")

    def _maybe(self, where: str) -> None:
        if where == self.where:
            raise ERRORS[self.what]()

    def on_start(self) -> None:
        self._maybe("on_start")

    def handle_demand(self, demand: int) -> list[Any]:
        self._maybe("handle_demand")
        if self.where == "codec":
            return [1, threading.Lock()]
        return list(range(demand))


class Prints(Consumer):
    """Prints in every way that a stage may."""

    def handle_events(self, events: list[Any], subscription: Subscription) -> None:
        print("printed by print")
        sys.stdout.write("written to sys.stdout\n")
        os.write(1, b"written to descriptor 1\n")
        self.log.info("logged by a stage", events=len(events))
