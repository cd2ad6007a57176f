"""Ready-made sources."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from actorflow.errors import OptionError
from actorflow.stage.behaviour import Producer

__all__ = ["Files", "Items"]


class Items(Producer):
    """A finite source of the items of a list, in order.

    Args:
        items: what to emit.

    Example:
        >>> Items([1, 2, 3]).take(2)
        [1, 2]
    """

    def __init__(self, items: Sequence[Any]) -> None:
        self._items = items
        self._next = 0

    def take(self, count: int) -> list[Any]:
        """The next items, at most `count` of them."""
        taken = list(self._items[self._next : self._next + count])
        self._next += len(taken)
        return taken

    def snapshot(self) -> int:
        """The position: how many items were emitted."""
        return self._next

    def restore(self, state: int) -> None:
        """Go on from there."""
        self._next = state

    def handle_demand(self, demand: int) -> list[Any]:
        """As many items as are wanted; fewer than that are the last."""
        items = self.take(demand)
        if len(items) < demand:
            self.finish()
        return items


class Files(Items):
    """A finite source of paths, as text, in alphabetical order.

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
