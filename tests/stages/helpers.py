"""Functions that stages under test are given."""

from __future__ import annotations

__all__ = ["merge_counts"]


def merge_counts(merged: dict[str, int], counts: dict[str, int]) -> dict[str, int]:
    """Add counts to counts."""
    for word, count in counts.items():
        merged[word] = merged.get(word, 0) + count
    return merged
