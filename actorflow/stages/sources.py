"""Ready-made sources."""

from __future__ import annotations

import codecs
import os
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from itertools import islice
from pathlib import Path
from typing import Any

from actorflow.errors import OptionError
from actorflow.stage.behaviour import Producer

__all__ = ["Files", "Items", "Lines", "Range"]


class Items(Producer):
    """A finite source of the items of a sequence, in order; it resumes where it was.

    Args:
        items: what to emit: a list, a tuple, a `range`, or anything else with positions.

    Raises:
        OptionError: `items` is no sequence.

    Example:
        >>> Items([1, 2, 3]).take(2)
        [1, 2]
    """

    def __init__(self, items: Sequence[Any]) -> None:
        if not isinstance(items, Sequence):
            hint = "an iterator has no positions: see actorflow.from_iterable"
            raise OptionError("items", "a sequence", items, hint)
        self._items = items
        self._next = 0

    def take(self, count: int) -> list[Any]:
        """The next items, at most `count` of them."""
        taken = list(self._items[self._next : self._next + count])
        self._next += len(taken)
        return taken

    def snapshot(self) -> Any:
        """The position: how many items were emitted."""
        return self._next

    def restore(self, state: Any) -> None:
        """Go on from there."""
        self._next = state

    def handle_demand(self, demand: int) -> list[Any]:
        """As many items as are wanted; fewer than that are the last."""
        items = self.take(demand)
        if len(items) < demand:
            self.finish()
        return items


class Range(Items):
    """A finite source of whole numbers, as the built-in `range` counts; it resumes where it was.

    Args:
        stop: where it ends, itself left out.
        start: where it begins.
        step: from one number to the next; not 0.

    Raises:
        OptionError: an argument is no whole number, or `step` is 0.

    Example:
        >>> Range(10, start=4, step=2).take(9)
        [4, 6, 8]
    """

    def __init__(self, stop: int, start: int = 0, step: int = 1) -> None:
        for name, value in (("stop", stop), ("start", start), ("step", step)):
            if type(value) is not int:
                raise OptionError(name, "a whole number", value)
        if not step:
            raise OptionError("step", "a whole number other than 0", step)
        super().__init__(range(start, stop, step))


class Files(Items):
    """A finite source of paths, as text, in alphabetical order; it resumes after the last one.

    Files that come while it runs are seen by a successor if they come later in the order.

    Args:
        root: the folder to look in.
        pattern: which files, as `pathlib.Path.glob` understands it; ``**`` is any depth.
        exclude: names of folders that are left out wherever they stand.

    Raises:
        OptionError: `root` is no folder.

    Example:
        >>> import os
        >>> [Path(path).name for path in Files(os.path.dirname(__file__), "sources.py").take(9)]
        ['sources.py']
    """

    def __init__(self, root: str, pattern: str = "**/*", exclude: Sequence[str] = ()) -> None:
        if not Path(root).is_dir():
            raise OptionError("root", "an existing folder", root)
        super().__init__(sorted(_matching(root, pattern, frozenset(exclude))))

    def snapshot(self) -> Any:
        """The path that was emitted last, or None; a number would mean another file tomorrow."""
        return self._items[self._next - 1] if self._next else None

    def restore(self, state: Any) -> None:
        """Go on after that path."""
        self._next = 0 if state is None else bisect_right(self._items, state)


class Lines(Producer):
    """A finite source of the lines of text files, without their ends; it resumes where it was.

    The files are read one after the other, a line at a time, so that they may be of any size. A
    last line without an end counts, too.

    Args:
        paths: a file, or several, in order.
        encoding: how the text is encoded.

    Raises:
        OptionError: a path is no file, there is none, or the encoding is unknown.

    Example:
        >>> import os
        >>> Lines(os.path.join(os.path.dirname(__file__), "sources.py")).take(1)
        ['\"\"\"Ready-made sources.\"\"\"']
    """

    def __init__(self, paths: str | Sequence[str], encoding: str = "utf-8") -> None:
        self._paths = [paths] if isinstance(paths, str) else list(paths)
        for path in self._paths:
            if not Path(path).is_file():
                raise OptionError("paths", "existing files", path)
        if not self._paths:
            raise OptionError("paths", "at least one file", paths)
        try:
            codecs.lookup(encoding)
        except LookupError as error:
            raise OptionError("encoding", "an encoding that Python knows", encoding) from error
        self._encoding = encoding
        self._number = 0
        self._offset = 0

    def take(self, count: int) -> list[str]:
        """The next lines, at most `count` of them."""
        lines: list[str] = []
        while len(lines) < count and self._number < len(self._paths):
            wanted = count - len(lines)
            # Opened each time: what is not open need not be closed, whoever is killed when.
            with Path(self._paths[self._number]).open("rb") as file:
                file.seek(self._offset)
                found = list(islice(file, wanted))
            for line in found:
                self._offset += len(line)
                lines.append(self._decoded(line))
            if len(found) < wanted:
                self._number += 1
                self._offset = 0
        return lines

    def handle_demand(self, demand: int) -> list[str]:
        """As many lines as are wanted; fewer than that are the last."""
        lines = self.take(demand)
        if len(lines) < demand:
            self.finish()
        return lines

    def snapshot(self) -> dict[str, int]:
        """The position: which file, and how many bytes of it are read."""
        return {"file": self._number, "offset": self._offset}

    def restore(self, state: dict[str, int]) -> None:
        """Go on from there."""
        self._number, self._offset = state["file"], state["offset"]

    @property
    def where(self) -> str:
        """Where it stands, for messages."""
        if self._number == len(self._paths):
            return f"at the end of {self._paths[-1]}"
        return f"in {self._paths[self._number]}, before byte {self._offset}"

    def _decoded(self, line: bytes) -> str:
        try:
            return line.decode(self._encoding).rstrip("\r\n")
        except UnicodeDecodeError as error:
            error.add_note(self.where)
            raise


def _matching(root: str, pattern: str, exclude: frozenset[str]) -> Iterator[str]:
    """The files below `root` that match; what is excluded is not even entered.

    `pathlib.Path.glob` has no way to leave a folder out, and what is installed beside the standard
    library is a hundred times its size.
    """
    wanted = tuple(pattern.split("/"))
    for folder, folders, files in os.walk(root):
        folders[:] = [name for name in folders if name not in exclude]
        here = Path(folder).relative_to(root).parts
        for name in files:
            if _matches((*here, name), wanted):
                yield os.path.join(folder, name)


def _matches(parts: tuple[str, ...], wanted: tuple[str, ...]) -> bool:
    if not wanted:
        return not parts
    if wanted[0] == "**":
        return any(_matches(parts[skip:], wanted[1:]) for skip in range(len(parts) + 1))
    return bool(parts) and fnmatchcase(parts[0], wanted[0]) and _matches(parts[1:], wanted[1:])
