"""The rule for failing events of a stage in a topology: its names, and its options."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from actorflow.errors import OptionError
from actorflow.records import dataclass
from actorflow.stage.on_error import ACTIONS, ENDINGS, OnError, Retry
from actorflow.topology.report import Path, Report, explain, refused
from actorflow.topology.rules import BAD, Choice, Leaf, Owned
from actorflow.topology.tables import Key, Table

__all__ = ["RETRY", "OnErrorRule"]

RETRY = Table(
    "the options of retry",
    "stages.NAME.on_error.retry",
    (
        Key("attempts", Owned(Retry, "attempts"), "How often a batch that failed is tried again."),
        Key("initial", Owned(Retry, "initial"), "Seconds before the first retry."),
        Key("factor", Owned(Retry, "factor"), "How much longer each further pause is."),
        Key("max", Owned(Retry, "max"), "The longest pause, in seconds."),
        Key("jitter", Owned(Retry, "jitter"), "Which part of a pause is left to chance."),
        Key("then", Choice(ENDINGS), "What becomes of an event that fails after all of them."),
    ),
)


@dataclass(frozen=True, slots=True)
class OnErrorRule(Leaf):
    """A rule: its name, or a map from retry to its options."""

    def _text(self) -> str:
        return "one of " + ", ".join(ACTIONS) + ", or a map from retry to its options"

    def _default(self) -> str:
        return ACTIONS[0]

    def _refusal(self, option: str, value: object) -> OptionError | None:
        try:
            OnError.of(value)
        except OptionError as error:
            return error
        return None

    def _read(self, value: Any, path: Path, report: Report) -> Any:
        if isinstance(value, Mapping) and list(value) == ["retry"]:
            return self._read_retry(value["retry"], (*path, "retry"), report)
        error = self._refusal("on_error", value)
        if error is None:
            return value
        report.add(path, refused(self.text, value))
        return BAD

    def _read_retry(self, options: Any, path: Path, report: Report) -> Any:
        read = RETRY.read({} if options is None else options, path, report)
        if read is BAD or BAD in read.values():
            return BAD
        # Each is good by itself; together they may not be.
        error = self._refusal("on_error", {"retry": read})
        if error is None:
            return {"retry": read}
        report.add((*path, error.option), explain(error))
        return BAD
