"""The reference of a topology's keys, as Markdown: ``python -m actorflow.topology.reference``.

It writes the tables of ``docs/topology.md`` from the tables that check a topology, so that the two
cannot differ; the prose around them is written by hand.
"""

from __future__ import annotations

import sys
from itertools import groupby
from pathlib import Path

from actorflow.topology.description import KeyDescription, describe_keys

__all__ = ["main", "markdown", "rewritten"]

_BEGIN = "<!-- keys: written by python -m actorflow.topology.reference -->\n"
_END = "<!-- end of keys -->\n"
_PAGE = Path(__file__).parents[2] / "docs" / "topology.md"
_KIND = {"producer": "P", "producer_consumer": "PC", "consumer": "C"}


def markdown() -> str:
    """The tables of all keys, one for each map.

    Example:
        >>> "| `max_restarts` |" in markdown()
        True
    """
    parts = []
    for where, rows in groupby(describe_keys(), key=lambda row: row.where):
        title = f"`{where}`" if where else "The topology"
        lines = [f"### {title}", "", *_table(list(rows)), ""]
        parts.append("\n".join(lines))
    return "\n".join(parts)


def _table(rows: list[KeyDescription]) -> list[str]:
    kinds = any(row.kinds for row in rows)
    head = ["key", "value", "default", *(["for"] if kinds else []), "what it is for"]
    lines = [_line(head), _line(["---"] * len(head))]
    for row in rows:
        default = "**required**" if row.required else row.default
        cells = [f"`{row.name}`", row.accepts, default]
        if kinds:
            cells.append(", ".join(_KIND[kind] for kind in row.kinds) or "all")
        lines.append(_line([*cells, row.doc]))
    return lines


def _line(cells: list[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def rewritten(page: str) -> str:
    """A page with the tables between its marks written anew.

    Args:
        page: the Markdown of ``docs/topology.md``.

    Raises:
        ValueError: the marks are missing.
    """
    before, begin, rest = page.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not begin or not end:
        raise ValueError(f"the page has no {_BEGIN.strip()} … {_END.strip()}")
    return f"{before}{_BEGIN}\n{markdown()}\n{_END}{after}"


def main(arguments: list[str]) -> int:
    """Write the page, by default ``docs/topology.md`` of the source tree; returns the exit code."""
    page = Path(arguments[0]) if arguments else _PAGE
    page.write_text(rewritten(page.read_text(encoding="utf-8")), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
