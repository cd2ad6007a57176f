"""The stages of wordcount.yaml: the words of the Python standard library's own sources.

A word is a maximal run of ASCII letters, lower-cased.
"""

from __future__ import annotations

import re
import sysconfig
from collections import Counter
from pathlib import Path
from typing import Any

from actorflow import Consumer, ProducerConsumer, Subscription
from actorflow.stages.sources import Files

_WORD = re.compile("[a-z]+")


def words_of(path: str) -> list[str]:
    """The words of one file, in order.

    The bytes are read as Latin-1, which gives every byte a character of its own and turns no other
    byte into an ASCII letter, so that no file is undecodable and none counts differently.
    """
    return _WORD.findall(Path(path).read_bytes().decode("latin-1").lower())


class StandardLibrary(Files):
    """The paths of the standard library's modules, without what was installed beside it."""

    def __init__(self, pattern: str = "**/*.py") -> None:
        root = sysconfig.get_paths()["stdlib"]
        super().__init__(root, pattern, exclude=["site-packages", "dist-packages", "__pycache__"])


class CountWords(ProducerConsumer):
    """Counts the words of whole files; emits one map of word to count for each batch of files."""

    def handle_events(self, events: list[str], subscription: Subscription) -> list[dict[str, int]]:
        """Read the files and count."""
        counts: Counter[str] = Counter()
        for path in events:
            counts.update(words_of(path))
        return [dict(counts)]


class Merge(Consumer):
    """Adds the counts up; its result is the commonest words and the totals."""

    def __init__(self, top: int = 20) -> None:
        self.top = top
        self.counts: Counter[str] = Counter()

    def handle_events(self, events: list[dict[str, int]], subscription: Subscription) -> None:
        """Add some counts."""
        for counts in events:
            self.counts.update(counts)

    def snapshot(self) -> Counter[str]:
        """What a successor begins with when this process is killed."""
        return self.counts

    def restore(self, state: Counter[str]) -> None:
        """Begin with that."""
        self.counts = state

    def on_stop(self, reason: Any) -> None:
        """Leave the result behind."""
        self.set_result(
            {
                "words": self.counts.total(),
                "distinct": len(self.counts),
                "commonest": [list(pair) for pair in self.counts.most_common(self.top)],
            }
        )
