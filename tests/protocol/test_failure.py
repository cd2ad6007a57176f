"""An exception on its way to another process: the exception itself, or at least its words."""

from __future__ import annotations

import subprocess
import sys
import threading
import traceback

import msgpack
import pytest

from actorflow.protocol.control import Exiting, decode_control, encode_control
from actorflow.protocol.failure import Failure
from actorflow.protocol.messages import Cast
from actorflow.protocol.wire import decode, encode


def raised(error: BaseException) -> BaseException:
    """The exception with a traceback."""
    try:
        raise error
    except BaseException as caught:  # noqa: BLE001  (any exception is what is tested)
        return caught


def travelled(error: BaseException) -> BaseException:
    """The exception after its way over the wire."""
    failure = Failure.of(raised(error))
    wire = msgpack.unpackb(msgpack.packb(failure.to_wire()))
    assert Failure.from_wire(wire) == failure
    return failure.exception()


class NeedsArguments(Exception):
    """Cannot be made from its text."""

    def __init__(self, stage: str, *, code: int) -> None:
        super().__init__(f"{stage} failed with {code}")


class Locked(Exception):
    """Cannot be pickled."""

    def __init__(self) -> None:
        super().__init__("locked")
        self.lock = threading.Lock()


class Mute(Exception):
    """Cannot be printed."""

    def __str__(self) -> str:
        raise RuntimeError("no text")


class Liar(Exception):
    """Is something else when it is unpickled."""

    def __reduce__(self) -> tuple[type[int], tuple[int]]:
        return int, (5,)


class Keeps(Exception):
    """Has what it needs to be made again."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


@pytest.mark.parametrize(
    "error", [ValueError("no"), KeyError("key"), OSError(2, "gone", "file"), Keeps(7)]
)
def test_an_exception_arrives_as_itself(error: Exception) -> None:
    """Its class, arguments and attributes are those of the original."""
    found = travelled(error)
    assert type(found) is type(error)
    assert found.args == error.args
    assert vars(found) == vars(error)


def test_the_remote_traceback_is_shown() -> None:
    """Python prints the other process's traceback as the cause."""
    found = travelled(ValueError("no"))
    shown = "".join(traceback.format_exception(found))
    assert "in raised\n    raise error" in shown
    assert shown.rstrip().endswith("ValueError: no")


def test_causes_and_notes_are_in_the_traceback() -> None:
    """What led to an exception is told as well."""
    error = ValueError("no")
    error.__cause__ = raised(KeyError("why"))
    error.add_note("while testing")
    failure = Failure.of(raised(error))
    assert "KeyError: 'why'" in failure.traceback
    assert "while testing" in failure.traceback


@pytest.mark.parametrize(
    ("error", "summary"),
    [
        (NeedsArguments("a", code=5), "NeedsArguments: a failed with 5"),
        (Locked(), "Locked: locked"),
        (Mute(), "Mute (its text raised RuntimeError)"),
        (Liar("x"), "Liar: x"),
        (ValueError(), "ValueError"),
    ],
)
def test_an_exception_that_cannot_travel_is_told(error: Exception, summary: str) -> None:
    """Its name, text and traceback arrive in a RuntimeError when it cannot itself."""
    assert Failure.of(raised(error)).summary == summary
    found = travelled(error)
    if type(error) is ValueError:
        assert type(found) is ValueError
    elif type(error) is Mute:
        assert type(found) is Mute
    else:
        assert type(found) is RuntimeError
        assert str(found) == summary
    assert found.__cause__ is not None
    assert "in raised" in str(found.__cause__)


def test_an_exception_whose_class_is_not_here() -> None:
    """What cannot be unpickled on arrival is told in a RuntimeError."""
    failure = Failure("Gone: no", "its traceback", b"cno.such.module\nGone\n.")
    found = failure.exception()
    assert type(found) is RuntimeError
    assert str(found) == "Gone: no"
    assert "its traceback" in str(found.__cause__)


SCRIPT = """
from actorflow.protocol.failure import Failure

class Mine(Exception):
    pass

found = Failure.of(Mine("from a script")).exception()
assert type(found) is Mine, type(found)
"""


def test_an_exception_of_a_script_keeps_its_class() -> None:
    """A class that lives in ``__main__`` comes back as the class that the script catches."""
    subprocess.run([sys.executable, "-c", SCRIPT], check=True)


def test_a_text_that_is_no_unicode_travels() -> None:
    """A file name that is not UTF-8, as Python shows it, does not keep the last words back."""
    failure = Failure.of(raised(ValueError("cannot read caf\udce9.txt")))
    words = Exiting(["error", failure.summary], failure.to_wire())
    message = decode(encode(encode_control(words))[4:])
    assert isinstance(message, Cast)
    found = decode_control(message)
    assert isinstance(found, Exiting)
    assert found.failure is not None
    assert found.failure["summary"] == r"ValueError: cannot read caf\udce9.txt"
    arrived = Failure.from_wire(found.failure).exception()
    assert isinstance(arrived, ValueError)
    assert arrived.args == ("cannot read caf\udce9.txt",)
