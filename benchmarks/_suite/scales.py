"""Axes: where a value is, and which values are written beside."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["Scale", "compact", "linear_scale_of", "scale_of"]

WIDE = 30.0
"""Values of which the largest is so many times the smallest are shown by their logarithm."""

STEPS = (1, 2, 5)


@dataclass(frozen=True, slots=True)
class Scale:
    """An axis.

    Args:
        low: the value at its beginning.
        high: the value at its end.
        ticks: the values that are written.
        logarithmic: whether equal distances are equal ratios.
    """

    low: float
    high: float
    ticks: tuple[float, ...]
    logarithmic: bool = False

    def share(self, value: float) -> float:
        """How far along the axis a value is, from 0 to 1."""
        if self.logarithmic:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)


def scale_of(values: Iterable[float]) -> Scale:
    """The axis for these values, at least one: logarithmic when they are wide apart.

    Example:
        >>> scale_of([3, 9])
        Scale(low=0.0, high=10.0, ticks=(0.0, 2.0, 4.0, 6.0, 8.0, 10.0), logarithmic=False)
        >>> scale_of([15, 800]).ticks
        (10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0)
    """
    ordered = sorted(values)
    lowest, highest = ordered[0], ordered[-1]
    if lowest > 0 and highest / lowest >= WIDE:
        return _logarithmic(lowest, highest)
    return linear_scale_of(ordered)


def linear_scale_of(values: Iterable[float]) -> Scale:
    """The same, never logarithmic.

    It begins at 0, or a small difference would look like a large one.
    """
    within = [0.0, *values]
    low, high = min(within), max(within)
    step = _step((high - low) / 5 or 1.0)
    first, last = math.floor(low / step), math.ceil(high / step - 1e-9)
    last = max(last, first + 1)
    ticks = tuple(number * step for number in range(first, last + 1))
    return Scale(ticks[0], ticks[-1], ticks)


def _step(least: float) -> float:
    """The smallest of 1, 2, 5, 10, 20, … that is as large."""
    power: float = 10.0 ** math.floor(math.log10(least))
    return next(each * power for each in (*STEPS, 10) if each * power >= least * (1 - 1e-9))


def _logarithmic(lowest: float, highest: float) -> Scale:
    powers = range(math.floor(math.log10(lowest)) - 1, math.ceil(math.log10(highest)) + 2)
    marks = [step * 10.0**power for power in powers for step in STEPS]
    low = max(mark for mark in marks if mark <= lowest * (1 + 1e-9))
    high = min(mark for mark in marks if mark >= highest * (1 - 1e-9))
    within = [mark for mark in marks if low <= mark <= high]
    decades = [mark for mark in within if math.isclose(math.log10(mark) % 1, 0, abs_tol=1e-9)]
    return Scale(low, high, tuple(decades if len(decades) > 3 else within), logarithmic=True)


def compact(value: float) -> str:
    """A number as an axis shows it.

    Example:
        >>> [compact(each) for each in (0, 0.02, 7.5, 1000, 2_500_000, 3e9)]
        ['0', '0.02', '7.5', '1k', '2.5M', '3G']
    """
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{letter}"
    return f"{value:.3g}"
