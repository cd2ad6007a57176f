"""The rule of ``max_demand: auto``: how wide a window may be."""

from __future__ import annotations

from actorflow.protocol.pace import HORIZON, MAX_AUTO, MAX_BYTES, SHARE, Pace

CHEAP = 1e-7


def run(pace: Pace, width: int, per_event: float, batches: int) -> int:
    """The width after so many batches of half a window each."""
    for _ in range(batches):
        events = max(1, width // 2)
        width = pace.wider(width, events, events * per_event)
    return width


def test_it_opens_as_wide_as_its_horizon() -> None:
    """A window holds so many seconds of work, however long one event takes."""
    for per_event, width in ((1e-6, 5000), (1e-5, 500), (1e-4, 50), (0.0024, 2), (1.0, 1)):
        found = run(Pace(), 1, per_event, 1000)
        assert width - 1 <= found <= width
        assert found == 1 or found * per_event <= HORIZON


def test_what_is_under_way_is_a_small_part_of_what_is_known() -> None:
    """Whatever comes after a stretch of cheap events, little of it is in one window."""
    pace, width, handled = Pace(), 1, 0
    while width < MAX_AUTO:
        events = max(1, width // 2)
        width = pace.wider(width, events, events * CHEAP)
        handled += events
        assert width <= 2 + handled // SHARE


def test_a_slow_batch_counts_at_once() -> None:
    """The window is as narrow as it would have been, had all events been like these."""
    pace = Pace()
    width = run(pace, 1, CHEAP, 1000)
    assert width == MAX_AUTO
    assert pace.wider(width, 5000, 5000 * 1e-4) == 50


def test_a_batch_that_was_interrupted_is_soon_made_up_for() -> None:
    """A busy machine takes a process's turn away: the mean of the last batches knows better."""
    pace = Pace()
    width = run(pace, 1, CHEAP, 1000)
    width = pace.wider(width, width // 2, 0.004)
    assert width < MAX_AUTO
    assert run(pace, width, CHEAP, 3) == MAX_AUTO


def test_a_slow_first_event_is_forgotten() -> None:
    """The first event loads a model for five seconds; cheap ones after it have a second at most."""
    pace = Pace()
    width = pace.wider(1, 1, 5.0)
    assert width == 1
    assert run(pace, width, CHEAP, 1000) == MAX_AUTO, "0.2 s, with 200 µs from batch to batch"


def test_rare_slow_events_are_remembered_as_long_as_they_matter() -> None:
    """With one event in two hundred that takes 0.1 s the window holds less than one of them."""
    pace, width, position, widths = Pace(), 1, 0, []
    while position < 20_000:
        events = max(1, width // 2)
        slow = (position + events) // 200 - position // 200
        position += events
        width = pace.wider(width, events, slow * 0.1 + events * 1e-6)
        widths.append(width)
    assert sum(widths) / len(widths) < 200


def test_many_at_once_have_a_place_each() -> None:
    """Events that are worked on at the same time count by what they take together."""
    assert run(Pace(8), 8, 1.0, 50) == 8
    assert run(Pace(8), 8, 1e-3, 1000) in (39, 40)
    assert run(Pace(8), 8, 1e-5, 1000) in (3999, 4000)


def test_large_events_have_a_narrow_window() -> None:
    """It holds so many bytes, and one event at least; small ones after them open it again."""
    pace = Pace()
    for size, most in ((MAX_BYTES // 4, 4), (MAX_BYTES, 1), (3 * MAX_BYTES, 1)):
        assert pace.weigh(1, size) == most
        assert run(pace, 1, CHEAP, 1000) == most
    assert pace.weigh(500, 500) == MAX_AUTO
    assert run(pace, 1, CHEAP, 1000) == MAX_AUTO


def test_the_numbers_are_those_that_are_promised() -> None:
    """docs/demand.md names them: events, bytes, seconds, the part of what is known, the mean."""
    assert (MAX_AUTO, MAX_BYTES, HORIZON, SHARE) == (10_000, 16 * 1024**2, 0.005, 16)
    pace = Pace()
    assert pace.wider(4, 100_000, 1.0) == 8, "at most twice as wide"
    # 0.95 of 100,000 events that took 1 s, and 100,000 that took 0.1 s.
    assert pace.wider(2000, 100_000, 0.1) == int(HORIZON / (1.05 / 195_000)) == 928
