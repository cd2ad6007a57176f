"""The inside of a companion's process: reads what the stage tells, works, writes what is said."""

from __future__ import annotations

import os
import time
from typing import Any

from actorflow.protocol.codec import decode_value, encode_value
from actorflow.protocol.framing import FrameDecoder, frame
from actorflow.runtime.local.offspring import CANNOT_REPORT
from actorflow.runtime.local.pipes import CHUNK
from actorflow.runtime.local.poller import READABLE, new_poller
from actorflow.runtime.local.words import CODECS, NAMES, Words
from actorflow.stage.companions import Companion

__all__ = ["SLICE", "CompanionProcess", "encoded", "read_message", "sayable"]

SLICE = 0.002
"""Seconds of work between two looks at what the stage has told."""


def encoded(message: Any) -> bytes:
    """A message in a frame.

    Raises:
        TypeError: it cannot be pickled.
    """
    body = encode_value(message)
    return frame(CODECS[body.codec] + body.body)


def read_message(data: bytes) -> Any:
    """Read what `encoded` wrote, without the length.

    Raises:
        Undecodable: it is something else.
    """
    return decode_value(NAMES.get(data[:1], "unknown"), data[1:])


def sayable(companion: Companion, messages: list[Any]) -> bytes:
    """Messages in a frame; what cannot be sent is exchanged for what the companion says of that."""
    try:
        return encoded(messages)
    except TypeError:
        said: list[Any] = []
        for message in messages:
            try:
                encode_value(message)
            except TypeError as error:
                said += companion.cannot_say(message, error)
            else:
                said.append(message)
        return encoded(said)


class CompanionProcess:
    """Drives a companion until its stage lets go of it.

    Args:
        companion: what lives here.
        told: the descriptor to read from.
        said: the descriptor to write to. The stage always reads, whatever else it does, so a write
            that waits for it waits for nothing that waits for this process.
    """

    def __init__(self, companion: Companion, told: int, said: int) -> None:
        self._companion = companion
        self._told = told
        self._said = Words(said)
        self._decoder = FrameDecoder()

    def run(self) -> int:
        """Live; returns the exit status."""
        companion = self._companion
        pid = os.getpid()
        os.set_blocking(self._told, False)
        poller = new_poller()
        poller.register(self._told, READABLE)
        while self._hear(poller):
            said = companion.work(time.monotonic() + SLICE) if companion.busy else []
            if os.getpid() != pid:
                return 0  # forked by the companion's own code, which fell through to here
            try:
                if said:
                    self._said.write(sayable(companion, said))
            except OSError:
                return CANNOT_REPORT
        companion.let_go()
        return 0

    def _hear(self, poller: Any) -> bool:
        """Take all that has come, waiting for it when there is no work; False at the end."""
        poller.wait(0.0 if self._companion.busy else None)
        while True:
            try:
                data = os.read(self._told, CHUNK)
            except BlockingIOError:
                return True
            if not data:
                return False
            for message in self._decoder.feed(data):
                self._companion.told(read_message(message))
            if len(data) < CHUNK:
                return True
