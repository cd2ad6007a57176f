"""What a program asks of a running ConsumerSupervisor, and the handle that asks it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from actorflow.records import dataclass
from actorflow.stage.children import ChildTemplate
from actorflow.stage.handle import StageHandle
from actorflow.supervision.consumer_rows import ConsumerChildCounts, ConsumerChildInfo

__all__ = [
    "ConsumerSupervisorHandle",
    "CountChildren",
    "ReplaceTemplate",
    "StartChild",
    "TerminateChild",
    "WhichChildren",
]


@dataclass(frozen=True, slots=True)
class StartChild:
    """Start a child by hand, with these after the template's own arguments."""

    arguments: Sequence[Any]


@dataclass(frozen=True, slots=True)
class TerminateChild:
    """End a child by its template's `shutdown`."""

    id: int


@dataclass(frozen=True, slots=True)
class WhichChildren:
    """Tell of every child."""


@dataclass(frozen=True, slots=True)
class CountChildren:
    """Tell how many there are."""


@dataclass(frozen=True, slots=True)
class ReplaceTemplate:
    """Use another template for the children to come."""

    template: ChildTemplate


class ConsumerSupervisorHandle(StageHandle):
    """The operations of a running `ConsumerSupervisor`; `Run.consumer_supervisor` gives one.

    Each may raise `CallTimeout`, and `StageDown` when the stage ends first.

    Args:
        call: makes a call to the stage: request, seconds.

    Example:
        >>> from actorflow import ConsumerSupervisor
        >>> from actorflow.testing import StageHarness
        >>> stage = StageHarness(ConsumerSupervisor, {"template": print})
        >>> jobs = ConsumerSupervisorHandle(lambda request, seconds: stage.call(request))
        >>> child = jobs.start_child("by hand")
        >>> child.id, jobs.count_children().active
        (1, 1)
    """

    def start_child(self, *arguments: Any, timeout: float = 5.0) -> ConsumerChildInfo:
        """Start a child outside any demand; the arguments follow the template's own.

        It is on its way when this returns. A fresh process that turns out not to be had is asked
        for again a moment later, as any child's is.

        Raises:
            OSError: there is no thread to be had, or nothing that forks.
        """
        found: ConsumerChildInfo = self._ask(StartChild(arguments), timeout)
        return found

    def terminate_child(self, child: int, timeout: float = 10.0) -> None:
        """End a child by its template's `shutdown`, and wait until it is gone.

        The event that it was started for counts as finished.

        Args:
            child: the `id` of its row.
            timeout: seconds to wait; `shutdown` and a moment more.

        Raises:
            NoSuchChild: there is none, or it is gone already.
        """
        self._ask(TerminateChild(child), timeout)

    def which_children(self, timeout: float = 5.0) -> list[ConsumerChildInfo]:
        """A row for each child, oldest first."""
        found: list[ConsumerChildInfo] = self._ask(WhichChildren(), timeout)
        return found

    def count_children(self, timeout: float = 5.0) -> ConsumerChildCounts:
        """How many children there are, and have been."""
        found: ConsumerChildCounts = self._ask(CountChildren(), timeout)
        return found

    def replace_template(self, template: ChildTemplate, timeout: float = 5.0) -> None:
        """Use another template for the children to come; those that run keep theirs.

        Raises:
            OptionError: it wants another kind of children, or another number of workers.
        """
        self._ask(ReplaceTemplate(template), timeout)
