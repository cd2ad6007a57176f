"""What the documentation has from the code, written by ``python -m tests.docs.generated``.

* The help of each command, in docs/cli.md.
* Messages as bytes, and the table of control records, in docs/protocol.md. A comment
  ``<!-- frame: Ask(ref=3, count=10) -->`` is followed by the dump of that message's frame.
* The public names of a room, in docs/reference.md, behind ``<!-- names: actorflow.stage -->``.

What stands between the marks is replaced, and nothing else. `tests.docs.test_generated` fails when
a page is not what this writes.
"""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
import io
import os
import re
import sys
from importlib import import_module
from pathlib import Path
from typing import Any
from unittest import mock

import actorflow
from actorflow.cli import main as command_line
from actorflow.protocol import control, messages, wire
from actorflow.protocol.codec import Encoder
from tests.docs.pages import ROOT

__all__ = ["main", "rewritten"]

_FRAME = re.compile(r"(<!-- frame: (.*?) -->\n```text\n).*?(^```$)", re.DOTALL | re.MULTILINE)
_HELP = re.compile(
    r"(```console\n\$ actorflow ([^\n]*)--help\n).*?(^```$)", re.DOTALL | re.MULTILINE
)
_NAMES = re.compile(r"(<!-- names: (.*?) -->\n).*?(<!-- end of names -->\n)", re.DOTALL)
_RECORDS = re.compile(
    r"(<!-- control records -->\n).*?(<!-- end of control records -->\n)", re.DOTALL
)


def rewritten(page: str) -> str:
    """A page's text with its generated parts written anew."""
    page = _FRAME.sub(lambda found: found[1] + dump(frame(found[2])) + found[3], page)
    page = _HELP.sub(lambda found: found[1] + help_of(found[2].split()) + found[3], page)
    page = _NAMES.sub(lambda found: found[1] + names(found[2]) + found[3], page)
    return _RECORDS.sub(lambda found: found[1] + records() + found[2], page)


# --- messages as bytes ----------------------------------------------------------------------------


def frame(expression: str) -> bytes:
    """The frame of a message that an expression in a page makes."""
    names: dict[str, Any] = {
        **{name: getattr(messages, name) for name in messages.__all__},
        **{name: getattr(control, name) for name in control.__all__},
        "events": lambda *events: Encoder("page", "msgpack").encode(1, list(events)).body,
    }
    return wire.encode(eval(expression, names))


def dump(data: bytes) -> str:
    """Bytes as offset, hexadecimal and text, sixteen in a line.

    Example:
        >>> print(dump(b"ab"), end="")
        0000  61 62                                            ab
    """
    lines = []
    for start in range(0, len(data), 16):
        part = data[start : start + 16]
        text = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in part)
        lines.append(f"{start:04x}  {part.hex(' '):<47}  {text}\n")
    return "".join(lines)


def reasons(source: str) -> list[str]:
    """The reasons with which a module's source refuses something.

    Example:
        >>> reasons('raise ProtocolError("bad_ref", "no"); self._send_eos(1, 2, ["bad_option", x])')
        ['bad_ref', 'bad_option']
    """
    raised = re.findall(r'(?:ProtocolError|Undecodable|FrameTooLarge|Refused)\(\s*"(\w+)"', source)
    sent = re.findall(r'(?:_send_eos\([^)]*?|RouteEos\([\w.]+, )\[?"(\w+)"', source)
    return raised + sent


# --- the control records --------------------------------------------------------------------------


def records() -> str:
    """A table of the control records: fields with their defaults, and what each is for."""
    lines = ["| `do` | fields | what it says |\n", "| --- | --- | --- |\n"]
    for name in control.__all__:
        record = getattr(control, name)
        if dataclasses.is_dataclass(record):
            fields = ", ".join(map(_field, dataclasses.fields(record))) or "none"
            sentence = (record.__doc__ or "").partition("\n")[0]
            lines.append(f"| `{name}` | {fields} | {sentence} |\n")
    return "".join(lines)


def _field(field: dataclasses.Field[Any]) -> str:
    if field.default_factory is not dataclasses.MISSING:
        return f"`{field.name}` = {field.default_factory()!r}"
    if field.default is not dataclasses.MISSING:
        return f"`{field.name}` = {'nil' if field.default is None else repr(field.default)}"
    return f"`{field.name}`"


# --- public names ---------------------------------------------------------------------------------


def names(room: str) -> str:
    """A table of the public names of a room: those of the package, or those of one module.

    Example:
        >>> "| `Consumer` |" in names("actorflow.stage"), "`Zip`" in names("actorflow.stages.zip")
        (True, True)
    """
    lines = ["| name | what it is |\n", "| --- | --- |\n"]
    for name, value in public(room).items():
        paragraph = inspect.cleandoc(value.__doc__ or "").partition("\n\n")[0]
        text = " ".join(paragraph.split()).replace("|", "\\|")
        lines.append(f"| `{name}` | {text} |\n")
    return "".join(lines)


def public(room: str) -> dict[str, Any]:
    """The public names of a room, or of one module, in alphabetical order, and what they are.

    Example:
        >>> list(public("actorflow.stages.zip"))
        ['Zip']
    """
    exported = [name for name, home in actorflow._HOME_OF.items() if home.startswith(f"{room}.")]
    module = actorflow if exported else import_module(room)
    return {
        name: getattr(module, name) for name in sorted(exported or module.__all__, key=str.lower)
    }


def rooms(page: str) -> list[str]:
    """The rooms whose names a page lists."""
    return [found[1] for found in _NAMES.findall(page)]


# --- the command line -----------------------------------------------------------------------------


def help_of(arguments: list[str]) -> str:
    """What a command's ``--help`` prints, 80 columns wide."""
    printed = io.StringIO()
    with (
        mock.patch.dict(os.environ, {"COLUMNS": "80", "NO_COLOR": "1"}),
        contextlib.redirect_stdout(printed),
        contextlib.suppress(SystemExit),
    ):
        command_line([*arguments, "--help"])
    return printed.getvalue()


def main(arguments: list[str]) -> int:
    """Write the pages anew, by default all of docs/; returns the exit code."""
    pages = [Path(name) for name in arguments] or sorted((ROOT / "docs").glob("*.md"))
    for page in pages:
        page.write_text(rewritten(page.read_text(encoding="utf-8")), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
