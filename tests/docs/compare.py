"""What a page says that is printed, against what is: the same but for what always differs."""

from __future__ import annotations

import re

__all__ = ["agrees"]

_CHANGING = (
    (re.compile(r"\d{4}-\d\d-\d\d[T ][\d:.]+Z?"), "(a time)"),
    (re.compile(r"\b(process |pid=|\"pid\": )\d+"), r"\1(a pid)"),
    (re.compile(r"\bat most \d+ MiB"), "at most (so many) MiB"),
    (re.compile(r"[\d.]+ s$"), "(so many) s"),
)
_NUMBER = re.compile(r"\d[\d,.]*")
_ANYTHING = "..."


def agrees(shown: str, printed: str, *, numbers_vary: bool = False) -> bool:
    r"""Whether a page tells the truth.

    Times, process ids and memory may differ, and so may all numbers of a line with percentages or
    an arrow, which is a row of the report. Runs of blanks count as one, blank lines not at all.
    ``...`` stands for anything, also for nothing and for many lines.

    Args:
        shown: what the page shows.
        printed: what was printed.
        numbers_vary: whether all numbers may differ.

    Example:
        >>> agrees("done in 0.5 s", "done in 12.75 s"), agrees("3 of 4", "3 of 5")
        (True, False)
        >>> agrees("a/0  7  1%", "a/0  12  98%"), agrees("first ... last", "first\nand last")
        (True, True)
    """
    wanted, found = _plain(shown, numbers_vary), _plain(printed, numbers_vary)
    parts = [re.escape(part) for part in wanted.split(_ANYTHING)]
    return re.fullmatch(".*".join(parts), found, re.DOTALL) is not None


def _plain(text: str, numbers_vary: bool) -> str:
    # A blank beside the dots belongs to what they stand for.
    lines = (_line(line, numbers_vary) for line in text.splitlines())
    joined = "\n".join(filter(None, lines))
    return re.sub(r"\s*\.\.\.\s*", _ANYTHING, joined)


def _line(line: str, numbers_vary: bool) -> str:
    for pattern, instead in _CHANGING:
        line = pattern.sub(instead, line)
    if numbers_vary or "%" in line or " → " in line:
        line = _NUMBER.sub("#", line)
    return " ".join(line.split())
