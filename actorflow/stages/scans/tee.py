"""Two scans of the same inputs in lockstep, as one scan."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Literal

from actorflow.errors import OptionError
from actorflow.records import dataclass
from actorflow.stages.scans.scan import Done, Partial, Scan, function_of, scan_of

__all__ = ["par_tee_with"]


@dataclass(slots=True)
class _Sides:
    """Where both sides stand."""

    left: Any
    right: Any
    beside: ThreadPoolExecutor | None = None


@dataclass(frozen=True, slots=True)
class _Tee(Scan[Any, Any]):
    combine: Callable[[Any, Any], Any]
    left: Scan[Any, Any]
    right: Scan[Any, Any]
    worker: Literal["inline", "thread"]

    def initial(self) -> Partial[Any] | Done[Any]:
        left = self.left.initial()
        try:
            right = self.right.initial()
        except BaseException:
            self.left.final(_state_after(left, None))
            raise
        beside = ThreadPoolExecutor(1, "tee") if self.worker == "thread" else None
        return self._answer(_Sides(None, None, beside), left, right)

    def step(self, state: _Sides, item: Any) -> Partial[Any] | Done[Any]:
        if state.beside is None:
            left = self.left.step(state.left, item)
            right = self.right.step(state.right, item)
        else:
            other: Future[Any] = state.beside.submit(self.left.step, state.left, item)
            try:
                right = self.right.step(state.right, item)
            finally:
                # Also when the right side raised: the left one must not be in its step any more
                # when it is finalised.
                other.exception()
            left = other.result()
        return self._answer(state, left, right)

    def extract(self, state: _Sides) -> Any:
        return self.combine(self.left.extract(state.left), self.right.extract(state.right))

    def final(self, state: _Sides) -> None:
        if state.beside is not None:
            state.beside.shutdown()
        try:
            self.left.final(state.left)
        finally:
            self.right.final(state.right)

    def _answer(
        self, state: _Sides, left: Partial[Any] | Done[Any], right: Partial[Any] | Done[Any]
    ) -> Partial[Any] | Done[Any]:
        state.left = _state_after(left, state.left)
        state.right = _state_after(right, state.right)
        if isinstance(left, Partial) and isinstance(right, Partial):
            return Partial(state)
        values = [
            answer.value if isinstance(answer, Done) else scan.extract(answer.state)
            for answer, scan in ((left, self.left), (right, self.right))
        ]
        return Done(self.combine(*values), state)


def _state_after(answer: Partial[Any] | Done[Any], last: Any) -> Any:
    return answer.state_after(last) if isinstance(answer, Done) else answer.state


def par_tee_with(
    combine: Callable[[Any, Any], Any] | str,
    left: Scan[Any, Any] | str | Mapping[str, Any],
    right: Scan[Any, Any] | str | Mapping[str, Any],
    *,
    worker: Literal["inline", "thread"] = "thread",
) -> Scan[Any, Any]:
    """A scan of pairs: each input goes to both scans, and a function joins their two values.

    It is done when either of them is. An error of one ends both, and both are finalised.

    Args:
        combine: makes a value of the left scan's and the right scan's.
        left: one scan, as `actorflow.stages.scans.scan_of` takes it.
        right: the other.
        worker: ``"thread"`` steps them at the same time, the left one in a thread beside the right
            one; ``"inline"`` one after the other, which is faster for cheap steps.

    Raises:
        OptionError: an argument breaks its rule.

    Example:
        >>> from actorflow.stages.scans import length, run_scan, sum_of
        >>> def mean(total, count):
        ...     return total / count if count else None
        >>> run_scan(par_tee_with(mean, sum_of(), length()), [3, 5])
        [None, 3.0, 4.0]

    Idea from: streamly's ``parTeeWith``.
    """
    if worker not in ("inline", "thread"):
        raise OptionError("worker", "one of inline, thread", worker)
    return _Tee(function_of("combine", combine), scan_of(left), scan_of(right), worker)
