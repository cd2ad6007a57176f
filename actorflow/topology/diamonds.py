"""Diamonds: joins of streams that one stage sends to all, or by a rule, and that must keep pace.

A join that waits for one of its inputs holds the other one back. When both come from a stage that
goes on only when all its consumers have room, and one of the ways between drops events, each waits
for another, for ever. How much room would be enough cannot be known beforehand; so the join needs a
limit, up to which it makes room.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import combinations
from typing import TYPE_CHECKING

from actorflow.stages.zip import Zip
from actorflow.topology.report import Report

if TYPE_CHECKING:
    from actorflow.topology.drafts import Draft

__all__ = ["check_diamonds"]

_TOGETHER = ("broadcast", "partition")
"""The dispatchers that hold one consumer back for another."""


def check_diamonds(
    producers: Mapping[str, Iterable[str]], drafts: Mapping[str, Draft], report: Report
) -> None:
    """Report each join without a limit whose inputs have such an origin in common.

    Args:
        producers: whom each stage takes events from.
        drafts: the stages by name.
        report: takes the mistakes.
    """
    for name, draft in drafts.items():
        if draft.use is None or not issubclass(draft.use, Zip) or draft.args is None:
            continue
        if draft.args.get("skew_limit") is not None:
            continue
        for one, other in combinations(producers.get(name, ()), 2):
            origins = _upstream(one, producers) & _upstream(other, producers)
            common = [each for each in drafts if each in origins and _sends_together(drafts[each])]
            if common:
                message = (
                    f"skew_limit is missing: {one!r} and {other!r} both come from {common[0]!r},"
                    " which waits for the slower one; should a stage between drop events, all wait"
                    " for ever. Say how many events one may be ahead"
                )
                report.add((*draft.path, "args"), message, key=True)
                break


def _upstream(stage: str, producers: Mapping[str, Iterable[str]]) -> set[str]:
    """A stage and all that its events come from."""
    found: set[str] = set()
    waiting = [stage]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += producers.get(name, ())
    return found


def _sends_together(draft: Draft) -> bool:
    description = draft.dispatcher
    if isinstance(description, Mapping):
        description = next(iter(description), None)
    return description in _TOGETHER
