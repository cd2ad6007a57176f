"""The token bucket, under a clock of the test's own."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actorflow import OptionError, SubscriptionOptions
from actorflow.protocol.rate import RateLimit, TokenBucket


@pytest.mark.parametrize("rate", [0, -1, "fast", True, float("nan"), float("inf")])
def test_a_bad_rate_is_refused(rate: Any) -> None:
    """With its name, its rule and its value."""
    with pytest.raises(OptionError, match=r"rate must be a number .* above 0, got"):
        SubscriptionOptions(rate=rate)


@pytest.mark.parametrize("burst", [0, -1, 1.5, "all", True])
def test_a_bad_burst_is_refused(burst: Any) -> None:
    """With its name, its rule and its value."""
    with pytest.raises(OptionError, match="burst must be an integer of at least 1, got"):
        SubscriptionOptions(rate=10, burst=burst)


def test_a_burst_needs_a_rate() -> None:
    """Alone it would mean nothing, and be a mistake."""
    with pytest.raises(OptionError, match="give rate too"):
        SubscriptionOptions(burst=10)


def test_options_travel() -> None:
    """What has no rate says nothing of it on the wire."""
    limited = SubscriptionOptions(rate=2.5, burst=3)
    assert SubscriptionOptions.from_wire(limited.to_wire()) == limited
    assert "rate" not in SubscriptionOptions().to_wire()
    assert SubscriptionOptions().limit is None


def test_a_quiet_time_fills_the_bucket_and_no_more() -> None:
    """After any time at most a burst comes at once."""
    bucket = TokenBucket(RateLimit(10, burst=3), now=0.0)
    assert bucket.allowance(1000.0) == 3


def test_what_is_promised_is_not_given_again() -> None:
    """A producer that is slow to answer cannot save up for a larger burst."""
    bucket = TokenBucket(RateLimit(10, burst=3), now=0.0)
    bucket.promise(3)
    assert bucket.allowance(50.0) == 0
    assert bucket.wait(5, 50.0) is None
    bucket.spend(3, 60.0)
    assert bucket.allowance(60.0) == 0
    assert bucket.wait(5, 60.0) == pytest.approx(0.1)
    assert bucket.allowance(60.1) == 1


def test_events_that_nobody_asked_for_are_paid_for_afterwards() -> None:
    """The rate holds over all events that come."""
    bucket = TokenBucket(RateLimit(10, burst=2), now=0.0)
    bucket.spend(12, 0.0)
    assert bucket.allowance(1.0) == 0
    assert bucket.allowance(1.1) == 1


def test_a_high_rate_waits_for_more_than_one_token() -> None:
    """A thousand asks a second are enough."""
    bucket = TokenBucket(RateLimit(1_000_000), now=0.0)
    bucket.spend(100_000, 0.0)
    assert bucket.wait(100_000, 0.0) == pytest.approx(0.001)


def test_the_limit_may_change() -> None:
    """A smaller burst takes tokens away, a higher rate makes them faster from now on."""
    bucket = TokenBucket(RateLimit(10, burst=10), now=0.0)
    bucket.change(RateLimit(100, burst=2), 0.0)
    assert bucket.allowance(0.0) == 2
    bucket.spend(2, 0.0)
    assert bucket.allowance(0.01) == 1


steps = st.lists(
    st.tuples(st.floats(0, 3), st.integers(1, 20), st.booleans()), min_size=1, max_size=60
)


@settings(deadline=None)
@given(st.floats(0.1, 1000), st.integers(1, 30), steps)
def test_never_more_than_the_burst_and_the_rate(
    rate: float, burst: int, steps: list[tuple[float, int, bool]]
) -> None:
    """In every stretch of time, however asks and arrivals fall, no more events come."""
    bucket = TokenBucket(RateLimit(rate, burst), now=0.0)
    now, coming = 0.0, 0
    arrived: list[float] = []
    for seconds, wanted, comes in steps:
        now += seconds
        asked = min(wanted, bucket.allowance(now))
        bucket.promise(asked)
        coming += asked
        if comes and coming:
            bucket.spend(coming, now)
            arrived += [now] * coming
            coming = 0
        assert bucket.promised == coming
    for first in range(len(arrived)):
        for last in range(first, len(arrived)):
            limit = burst + rate * (arrived[last] - arrived[first]) + 0.001
            assert last - first + 1 <= limit


@settings(deadline=None)
@given(st.floats(0.1, 100_000), st.integers(1, 30), st.integers(1, 60))
def test_waiting_is_enough(rate: float, burst: int, count: int) -> None:
    """Whoever waits as long as he is told gets what he waits for: nobody waits for ever."""
    bucket = TokenBucket(RateLimit(rate, burst), now=0.0)
    now, got = 0.0, 0
    for _ in range(10 * count):
        asked = min(count - got, bucket.allowance(now))
        bucket.promise(asked)
        bucket.spend(asked, now)
        got += asked
        if got == count:
            break
        if not asked:
            wait = bucket.wait(count - got, now)
            assert wait is not None
            now += wait
    assert got == count
    assert now == pytest.approx(max(0, count - burst) / rate, abs=0.0011, rel=1e-5)
