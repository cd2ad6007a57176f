"""What msgpack keeps as it is: plain data, and how to find out that some events are nothing else.

msgpack has no tuples, classes or bytearrays. The packer refuses the first two; a bytearray becomes
bytes without a word, so whatever holds bytes is looked through.
"""

from __future__ import annotations

import _thread
from collections.abc import Callable, Iterable
from itertools import chain
from typing import Any

import msgpack

from actorflow.protocol.framing import LARGE

__all__ = [
    "CHANGED",
    "has_long_text",
    "has_no_bytearray",
    "may_hold_bytes",
    "new_packer",
    "plain_packer",
]


class _NotPlain(Exception):
    """Internal: msgpack would change this value's type."""


CHANGED = (_NotPlain, OverflowError, UnicodeEncodeError, ValueError, TypeError)
"""What packing raises for a value that it would change."""


def _refuse(value: object) -> Any:
    raise _NotPlain(type(value).__qualname__)


def new_packer() -> Callable[[Any], bytes]:
    """What packs plain data and refuses the rest.

    strict_types sends tuples and every subclass of a plain type to `default`, which refuses them. A
    packer has one buffer, and `default` is Python code, in which another thread may get its turn:
    so a packer belongs to one thread.
    """
    pack: Callable[[Any], bytes] = msgpack.Packer(
        strict_types=True, default=_refuse, autoreset=True
    ).pack
    return pack


_mine = _thread._local()  # `threading.local`, without the module: see `Guard`


def plain_packer() -> Callable[[Any], bytes]:
    """What packs plain data, for the thread that calls this; else it raises one of `CHANGED`."""
    try:
        pack: Callable[[Any], bytes] = _mine.pack
    except AttributeError:
        pack = _mine.pack = new_packer()
    return pack


def may_hold_bytes(body: bytes) -> bool:
    """Whether what msgpack made has a marker of bytes in it, or anything that looks like one."""
    return b"\xc4" in body or b"\xc5" in body or b"\xc6" in body


def has_long_text(body: bytes, count: int) -> bool:
    """Whether what msgpack made of so many events has a text of `LARGE` and more in it.

    Such a text has a marker and a length of four bytes, of which the first is 0 below 16 MiB; the
    two together are not UTF-8, so that they hardly occur otherwise. A longer text is noticed when
    it is not one of many.
    """
    return b"\xdb\0" in body or len(body) > LARGE * count


def has_no_bytearray(events: list[Any], *, nor_large: bool = False) -> bool:
    """Whether a batch that msgpack took holds no bytearray or memoryview, which become bytes.

    With `nor_large` it is to hold no bytes of `LARGE` and more either.

    One pass in C tells for the common batches (`sum` fails on anything but numbers, `join` on
    anything but text), and a walk by levels, still in C, for the rest.
    """
    first = events[0]
    try:
        if type(first) is int:
            sum(events)
            return True
        if type(first) is str:
            "".join(events)
            return True
    except TypeError:
        pass  # a mixed batch: look at every value
    return _walk_has_no_bytearray(events, nor_large)


def _walk_has_no_bytearray(values: Iterable[Any], nor_large: bool) -> bool:
    level = list(values)
    while level:
        kinds = set(map(type, level))
        if bytearray in kinds or memoryview in kinds:
            return False
        if nor_large and any(type(item) is bytes and len(item) >= LARGE for item in level):
            return False
        deeper: list[Any] = []
        if list in kinds:
            deeper.extend(chain.from_iterable(item for item in level if type(item) is list))
        if dict in kinds:
            maps = [item for item in level if type(item) is dict]
            deeper.extend(chain.from_iterable(maps))
            deeper.extend(chain.from_iterable(map(dict.values, maps)))
        level = deeper
    return True
