"""Dead letters as events: for a stage that files, counts, mends or reports what was given up."""

from __future__ import annotations

from actorflow.stages.sources import Lines
from actorflow.supervision.letters import DeadLetter, read_letter

__all__ = ["DeadLetters"]


class DeadLetters(Lines):
    """A finite source of the dead letters of files; it resumes where it was.

    Each event is a `DeadLetter`; its ``value()`` is what was given up.

    Args:
        paths: a file that a topology's `dead_letters` has named, or several, in order.

    Raises:
        OptionError: a path is no file, or there is none.
        DeadLetterError: a line is no dead letter.

    Example:
        >>> import tempfile
        >>> line = (
        ...     '{"event": 7, "stage": "count/0", "producer": "files/0", "attempts": 3,'
        ...     ' "error": "ValueError: no"}'
        ... )
        >>> with tempfile.NamedTemporaryFile("w", suffix=".jsonl") as file:
        ...     print(line, file=file, flush=True)
        ...     [(letter.value(), letter.error) for letter in DeadLetters(file.name).letters(9)]
        [(7, 'ValueError: no')]
    """

    def letters(self, count: int) -> list[DeadLetter]:
        """The next letters, at most `count` of them."""
        return [read_letter(line, self.where) for line in self.take(count)]

    def handle_demand(self, demand: int) -> list[DeadLetter]:  # type: ignore[override]
        """As many letters as are wanted; fewer than that are the last."""
        letters = self.letters(demand)
        if len(letters) < demand:
            self.finish()
        return letters
