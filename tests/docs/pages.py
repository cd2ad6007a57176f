"""The pages of the documentation, and the fenced blocks that are in them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

__all__ = ["EXECUTED", "ROOT", "Block", "blocks", "pages"]

ROOT = Path(__file__).parents[2]

EXECUTED = ("python", "yaml", "console")
"""What `tests.docs.reader` understands. Anything else is there to be read: ``text``, ``sh``."""

_FENCE = re.compile(r"^(<!-- numbers vary -->\n)?```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_FILE = re.compile(r"# ([\w./-]+\.(?:py|yaml))\n")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block.

    Args:
        language: what stands behind the fence.
        line: the line of the page on which its text begins, from 1.
        text: what is between the fences.
        numbers_vary: whether the page says so, in a comment before the fence.
    """

    language: str
    line: int
    text: str
    numbers_vary: bool = False

    @property
    def file(self) -> str | None:
        """The name in its first line, ``# numbers.py``: then the block is that file."""
        found = _FILE.match(self.text)
        return found.group(1) if found else None


def pages() -> list[Path]:
    """The README and everything in docs/."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page, in order."""
    text = page.read_text(encoding="utf-8")
    return [
        Block(
            language=each.group(2),
            line=text.count("\n", 0, each.start(3)) + 1,
            text=each.group(3),
            numbers_vary=each.group(1) is not None,
        )
        for each in _FENCE.finditer(text)
    ]
