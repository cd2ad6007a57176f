"""D-06 to D-20 and D-23: the window of an asynchronous stage, with everybody else played."""

from __future__ import annotations

import re
from typing import Any

import pytest

from actorflow import Backoff, ItemFailed, OptionError
from actorflow.stages.buffered import AsyncStage, ForEach
from actorflow.testing import StageHarness
from tests.systems.buffered_rig import SOURCE, Rig, select


def rows(*items: int) -> list[str]:
    """What the calls of these items return."""
    return [f"row {item}" for item in items]


@pytest.mark.parametrize(("claim", "most"), [("total", 5), ("window", 6)])
def test_d_06_no_more_is_claimed_than_was_agreed(claim: str, most: int) -> None:
    """A gated body: five are taken with `total`, six with `window`; also after 1 000 items."""
    rig = Rig(5, claim=claim)
    while rig.in_flight:
        rig.returns(*rig.in_flight)
    assert (rig.takes, len(rig.in_body)) == (most, 1)
    while rig.in_body:
        rig.body_ends()
        rig.returns(*rig.in_flight)
        assert rig.takes - len(rig.processed) <= most
    assert (rig.takes, len(rig.processed)) == (1_000, 1_000)


@pytest.mark.parametrize("ordered", [False, True])
def test_d_01_calls_go_on_while_a_body_runs(ordered: bool) -> None:
    """The body takes for ever; every other call of the window begins, and ends, all the same."""
    rig = Rig(5, ordered=ordered, claim="window")
    rig.returns(1)
    assert rig.in_body == rows(1)
    assert rig.in_flight == [2, 3, 4, 5, 6]
    rig.returns(2, 3, 4, 5, 6)
    assert (rig.in_flight, rig.counts.handed_over) == ([], 5)
    assert rig.in_body == rows(1)


def test_d_06_of_two_results_at_once_the_first_gives_its_place_back() -> None:
    """It is handed over; the second waits for the body."""
    rig = Rig(5, claim="window")
    assert rig.harness.offspring is not None
    rig.harness.offspring.returns(1, 2, result="row")
    rig.feed()
    assert (len(rig.in_body), rig.in_flight) == (1, [3, 4, 5, 6])


@pytest.mark.parametrize("bodies", [1, 3])
def test_d_08_never_more_bodies_than_agreed(bodies: int) -> None:
    """200 items: the body stage has what it asked for in hand, and no more."""
    rig = Rig(8, items=200, bodies=bodies)
    while len(rig.processed) < 200:
        assert len(rig.in_body) <= bodies
        if rig.in_flight:
            rig.returns(rig.in_flight[-1])
        else:
            rig.body_ends()
    assert sorted(rig.processed) == sorted(rows(*range(1, 201)))


def test_d_09_ordered_results_wait_for_their_turn_inside_the_window() -> None:
    """Item 1 is slow, 2 to 5 are quick: nothing leaves, and nothing more is claimed."""
    rig = Rig(5, bodies=10, ordered=True)
    rig.returns(3, 2, 5, 4)
    assert (rig.in_body, rig.takes) == ([], 5)
    assert (rig.counts.in_flight, rig.counts.ready) == (1, 4)
    rig.returns(1)
    assert rig.in_body == rows(1, 2, 3, 4, 5)


def test_d_10_unordered_results_leave_at_once() -> None:
    """2 to 5 overtake item 1; one body at a time takes them."""
    rig = Rig(5)
    rig.returns(3, 2, 5, 4)
    assert rig.in_body == rows(3)
    for _ in range(3):
        rig.body_ends()
    assert (rig.processed, rig.in_body) == (rows(3, 2, 5), rows(4))
    assert 1 in rig.in_flight


@pytest.mark.parametrize(("claim", "beside"), [("total", []), ("window", [2])])
def test_d_11_one_call_at_a_time(claim: str, beside: list[int]) -> None:
    """One place: calls are sequential; with `window` the next overlaps with the body.

    With `total` the one claim is the body's as long as it runs: n items in all leave no other.
    """
    rig = Rig(1, items=4, claim=claim)
    assert rig.in_flight == [1]
    rig.returns(1)
    assert (rig.in_body, rig.in_flight) == (rows(1), beside)
    while len(rig.processed) < 4:
        assert len(rig.in_flight) <= 1
        rig.returns(*rig.in_flight)
        rig.body_ends()
    assert rig.processed == rows(1, 2, 3, 4)


@pytest.mark.parametrize("concurrency", [0, -1, "5", True, 2.0])
def test_d_12_a_window_of_nothing_is_refused_at_once(concurrency: Any) -> None:
    """Where it is passed, and where it is declared; None is the explicit "no limit"."""
    for refuse in (AsyncStage, lambda **args: AsyncStage.check_arguments(args)):
        with pytest.raises(OptionError, match="concurrency must be an integer of at least 1"):
            refuse(run=select, concurrency=concurrency)
    with pytest.raises(OptionError, match="concurrency must be an integer of at least 1"):
        ForEach(print, concurrency=concurrency)


def test_no_limit_but_the_subscriptions_own() -> None:
    """``concurrency=None``: as many calls as the subscription's window lets in."""
    harness = StageHarness(AsyncStage, {"run": select, "concurrency": None})
    harness.link_to_producer(SOURCE, max_demand=300, min_demand=299)
    assert harness.asks(SOURCE) == [300]
    harness.route(SOURCE, range(300))
    assert harness.offspring is not None
    assert len(harness.offspring.running) == 300


@pytest.mark.parametrize("concurrency", [1, 5, None])
def test_d_13_an_empty_source_ends_at_once(concurrency: int | None) -> None:
    """There is nothing to wait for."""
    rig = Rig(concurrency, items=0)
    rig.end_of_source()
    assert rig.ended


def failing(**arguments: Any) -> Rig:
    """Twenty items, of which select 7 raises; calls end in order."""
    rig = Rig(5, items=20, bodies=30, ordered=True, **arguments)
    while rig.in_flight:
        item = rig.in_flight[0]
        if item == 7:
            rig.raises(7, ValueError("no row"))
        else:
            rig.returns(item)
        if rig.in_body:
            rig.body_ends()
        if rig.ended:
            break
    return rig


def test_d_16_fail_names_the_item_and_accounts_for_the_others() -> None:
    """The stage ends with item 7; what is not finished is not acknowledged, so it comes again."""
    rig = failing()
    error = rig.harness.error
    assert isinstance(error, ItemFailed)
    assert (error.number, error.item, error.tries) == (7, 7, 1)
    assert repr(error.__cause__) == "ValueError('no row')"
    assert rig.processed == rows(1, 2, 3, 4, 5, 6)
    assert rig.acknowledged() < 7


def test_d_16_emit_delivers_the_error_in_its_place() -> None:
    """The seventh result is the failure of item 7."""
    rig = failing(on_error="emit")
    assert isinstance(rig.delivered[6], ItemFailed)
    assert str(rig.delivered[6]) == "item 7, 7, failed with ValueError: no row"
    assert [*rig.delivered[:6], *rig.delivered[7:]] == rows(*range(1, 7), *range(8, 21))


def test_d_16_skip_counts_and_logs_and_goes_on() -> None:
    """No result, no place held, a line in the log."""
    rig = failing(on_error="skip")
    assert rig.delivered == rows(*range(1, 7), *range(8, 21))
    assert (rig.counts.failed, rig.counts.items) == (1, 20)
    assert any("item is skipped" in line for line in map(str, rig.harness.log))


def test_d_16_retry_tries_again_up_to_so_many_times() -> None:
    """Twice more; then it is as with `fail`."""
    rig = Rig(5, items=20, on_error="retry", retries=2, backoff=None)
    rig.raises(3)
    rig.raises(3)
    said = [(line.event, line.values["value"]) for line in rig.harness.log]
    assert said == [("a call is tried again", "3")] * 2
    assert sorted(rig.in_flight) == [1, 2, 3, 4, 5]
    rig.returns(3)
    assert rig.in_body == rows(3)
    assert rig.counts.retried == 2
    for _ in range(3):
        rig.raises(4)
    assert isinstance(rig.harness.error, ItemFailed)
    assert rig.harness.error.tries == 3


def test_d_16_a_pause_before_each_retry_grows_and_keeps_the_place() -> None:
    """0.5 s, then 1 s: the item is in no call meanwhile, and nothing is claimed in its stead."""
    rig = Rig(3, retries=3, backoff={"initial": 0.5, "max": 1})
    for pause in (0.5, 1.0, 1.0):
        rig.raises(2)
        assert (rig.in_flight, rig.counts.pausing, rig.counts.waiting) == ([1, 3], 1, 1)
        assert rig.harness.log[-1].values["pause"] == pause
        rig.harness.advance(pause - 0.01)
        assert (rig.in_flight, rig.takes) == ([1, 3], 3)
        rig.harness.advance(0.01)
        assert rig.in_flight == [1, 3, 2]
    assert (rig.counts.retried, rig.counts.pausing) == (3, 0)
    rig.returns(2)
    assert rig.in_body == rows(2)


def test_d_16_an_item_that_pauses_leaves_its_call_to_another() -> None:
    """Three claimed, of three producers, and one call at a time: the next one's turn has come."""
    harness = StageHarness(AsyncStage, {"run": select, "concurrency": 1, "retries": 1})
    harness.link_to_producer(1, "left")
    harness.link_to_producer(3, "right")
    harness.route(1, ["first"])
    harness.link_to_producer(5, "third")
    harness.route(3, ["second"])
    harness.route(5, ["third"])
    assert harness.offspring is not None
    harness.offspring.raises(1)
    ((other, call),) = harness.offspring.running.items()
    assert call.arguments == ("second",)
    harness.advance(1)
    assert list(harness.offspring.running) == [other]
    harness.offspring.returns(other)
    assert [each.arguments for each in harness.offspring.running.values()] == [("first",)]


def test_d_16_by_default_a_retry_waits_a_tenth_of_a_second_and_then_longer() -> None:
    """A service that is down is not asked again at once by everybody."""
    rig = Rig(1, retries=2)
    for pause in (0.1, 0.2):
        rig.raises(1)
        rig.harness.advance(pause - 0.01)
        assert rig.in_flight == []
        rig.harness.advance(0.01)
        assert rig.in_flight == [1]


@pytest.mark.parametrize(
    ("backoff", "said"),
    [
        ("slowly", "backoff must be a Backoff or a map with initial, factor, max"),
        ({"inital": 1}, "it has no 'inital'; did you mean 'initial'?"),
        ({"initial": 0}, "initial must be a number of seconds above 0, got 0"),
        ({"attempts": 3}, "attempts must be left out here, got 3; retries says how often"),
        (Backoff(attempts=3), "attempts must be left out here, got 3; retries says how often"),
    ],
)
def test_d_16_a_bad_pause_is_refused_at_once(backoff: Any, said: str) -> None:
    """Where it is passed, and where it is declared."""
    for refuse in (AsyncStage, lambda **args: AsyncStage.check_arguments(args)):
        with pytest.raises(OptionError, match=re.escape(said)):
            refuse(run=select, concurrency=1, retries=1, backoff=backoff)


@pytest.mark.parametrize("options", [{"retries": 0}, {"retries": -1}, {"retries": True}])
def test_d_16_a_retry_needs_retries(options: dict[str, Any]) -> None:
    """It would be `fail` by another name."""
    with pytest.raises(OptionError, match="retries must be"):
        AsyncStage(select, concurrency=1, on_error="retry", **options)


def stopped(mode: str, **arguments: Any) -> Rig:
    """Six claimed in all: five in flight and one in the body; then the stage is told to stop."""
    rig = Rig(5, claim="window", on_stop=mode, **arguments)
    rig.returns(1)
    assert (rig.in_flight, rig.in_body, rig.takes) == ([2, 3, 4, 5, 6], rows(1), 6)
    rig.harness.stop()
    rig.feed()
    return rig


def test_d_18_finish_lets_all_six_end_and_claims_nothing_more() -> None:
    """The stage ends when the last body has; the source is told that all six are finished."""
    rig = stopped("finish")
    rig.returns(2, 3, 4, 5, 6)
    while rig.in_body:
        assert not rig.ended
        rig.body_ends()
    assert rig.ended
    assert (sorted(rig.processed), rig.takes) == (rows(1, 2, 3, 4, 5, 6), 6)
    assert rig.harness.acked(SOURCE) == 2  # two messages, of five items and of one


def test_d_18_a_stop_does_not_wait_for_bodies_that_are_gone() -> None:
    """The body stage has been stopped first; what it had is not acknowledged."""
    rig = stopped("finish")
    rig.returns(2, 3, 4, 5, 6)
    assert not rig.ended
    rig.harness.hang_up(2)
    rig.harness.down("body", "shutdown")
    assert rig.ended
    assert rig.harness.acked(SOURCE) == 0


def put_back(items: list[Any]) -> None:
    """Never runs here: the test says how it ends."""


def cancelled(rig: Rig) -> None:
    """Every call that was cancelled ends so."""
    assert rig.harness.offspring is not None
    for life in dict.fromkeys(rig.signalled):
        if life in rig.harness.offspring.running:
            rig.harness.offspring.raises(life, error=KeyboardInterrupt("cancelled"))


def test_d_19_requeue_puts_back_exactly_what_was_not_processed() -> None:
    """One call ends in spite of its cancellation: it is processed, and not put back."""
    rig = stopped("requeue", requeue=put_back)
    assert len(rig.signalled) == 5
    rig.returns(4)
    cancelled(rig)
    while rig.in_body:
        rig.body_ends()
    offspring = rig.harness.offspring
    assert offspring is not None
    ((life, call),) = offspring.running.items()
    assert sorted(call.arguments[-1]) == [2, 3, 5, 6]
    assert (sorted(rig.processed), rig.ended) == (rows(1, 4), False)
    offspring.returns(life)
    assert rig.ended
    assert rig.harness.acked(SOURCE) == 2  # two messages, of five items and of one


def test_d_19_what_cannot_be_put_back_stays_unfinished() -> None:
    """The function raises: the log says so, and the producer delivers the items again."""
    rig = stopped("requeue", requeue=put_back)
    cancelled(rig)
    rig.body_ends()
    offspring = rig.harness.offspring
    assert offspring is not None
    offspring.raises(*offspring.running)
    assert rig.ended
    assert rig.harness.acked(SOURCE) == 0
    assert any("could not be put back" in str(line) for line in rig.harness.log)


def test_d_19_without_a_function_the_producer_delivers_again() -> None:
    """Item 1 alone was finished, and it is a message of its own."""
    rig = Rig(5, items=5, claim="window", on_stop="requeue")
    rig.harness.stop()
    cancelled(rig)
    assert rig.ended
    assert rig.harness.acked(SOURCE) == 0


def test_d_20_cancel_reports_each_item() -> None:
    """Five lines in the log; the items are done with."""
    rig = stopped("cancel")
    cancelled(rig)
    rig.body_ends()
    assert rig.ended
    lines = [str(line) for line in rig.harness.log]
    assert sum("was cancelled by the stop" in line for line in lines) == 5
    assert rig.harness.acked(SOURCE) == 2  # two messages, of five items and of one


def pausing(mode: str, **arguments: Any) -> Rig:
    """Item 2 of three pauses for 30 s, the others are done with; the stage is told to stop."""
    rig = Rig(3, items=3, bodies=3, on_stop=mode, retries=5, backoff={"initial": 30}, **arguments)
    rig.raises(2)
    rig.returns(1, 3)
    rig.body_ends()
    rig.body_ends()
    assert (rig.in_flight, rig.counts.pausing) == ([], 1)
    rig.harness.stop()
    return rig


def test_d_18_finish_tries_again_at_once_what_pauses() -> None:
    """Every try that is left follows without a pause; then the stage ends."""
    rig = pausing("finish")
    rig.harness.advance(0)
    assert rig.in_flight == [2]
    rig.raises(2)
    assert rig.in_flight == [2]
    rig.returns(2)
    assert not rig.ended
    rig.body_ends()
    assert rig.ended
    assert rig.acknowledged() == 1


def test_d_19_requeue_puts_back_at_once_what_pauses() -> None:
    """It is in no call: nothing is waited for but the function that puts back."""
    rig = pausing("requeue", requeue=put_back)
    rig.harness.advance(0)
    assert rig.harness.offspring is not None
    ((life, call),) = rig.harness.offspring.running.items()
    assert call.arguments[-1] == [2]
    rig.harness.offspring.returns(life)
    assert rig.ended
    assert rig.acknowledged() == 1


def test_d_20_cancel_reports_at_once_what_pauses() -> None:
    """No time passes."""
    rig = pausing("cancel")
    assert rig.ended
    assert "a call was cancelled by the stop" in str(rig.harness.log)
    assert rig.acknowledged() == 1


def test_d_23_a_call_that_takes_too_long_gives_its_place_back() -> None:
    """100 ms: the call of item 2 hangs; the others do not notice."""
    rig = Rig(3, items=9, timeout=0.1, on_error="skip")
    rig.harness.advance(0.05)
    rig.returns(1, 3)
    rig.body_ends()
    assert rig.in_flight == [2, 4]
    rig.harness.advance(0.06)
    (hung,) = rig.signalled
    assert hung == rig.calls[2].life
    rig.raises(2, KeyboardInterrupt("cancelled"))
    assert rig.in_flight == [4, 5]
    assert "TimeoutError: the call took longer than 0.1 s" in str(rig.harness.log)


def test_d_23_a_call_that_took_too_long_is_tried_again() -> None:
    """Its next try has all of the time."""
    rig = Rig(3, items=3, timeout=0.1, retries=1, backoff=None)
    rig.harness.advance(0.1)
    for item in (1, 2, 3):
        rig.raises(item, KeyboardInterrupt("cancelled"))
    assert sorted(rig.in_flight) == [1, 2, 3]
    rig.harness.advance(0.09)
    assert len(rig.signalled) == 3
    rig.returns(1, 2, 3)
    assert rig.counts.handed_over == 3


def test_d_23_a_call_that_refuses_to_end_ends_the_stage() -> None:
    """Nothing else can: five seconds after its cancellation."""
    rig = Rig(3, timeout=0.1)
    rig.harness.advance(5.0)
    assert rig.harness.error is None
    rig.harness.advance(0.2)
    assert "did not end within 5 s of being cancelled" in str(rig.harness.error)


def test_setup_runs_before_the_first_call_and_teardown_after_the_last() -> None:
    """What `setup` made is every call's first argument."""
    rig = Rig(2, items=2, setup=dict, teardown=print)
    offspring = rig.harness.offspring
    assert offspring is not None
    assert list(offspring.running) == [0]
    offspring.returns(0, result="database")
    assert [call.arguments for call in rig.calls.values()] == [("database", 1), ("database", 2)]
    rig.returns(1, 2)
    rig.end_of_source()
    rig.body_ends()
    rig.body_ends()
    assert not rig.ended
    (teardown,) = offspring.running.values()
    assert teardown.template.arguments == (print, "database")
    offspring.returns(teardown.life)
    assert rig.ended


def test_a_setup_that_fails_ends_the_stage() -> None:
    """With its own exception."""
    rig = Rig(2, items=2, setup=dict)
    assert rig.harness.offspring is not None
    rig.harness.offspring.raises(0, error=ConnectionError("no database"))
    assert repr(rig.harness.error) == "ConnectionError('no database')"


def test_several_producers_share_the_claims() -> None:
    """Five places for two declared producers: three and two; what one leaves the other gets."""
    harness = StageHarness(AsyncStage, {"run": select, "concurrency": 5})
    harness.expect("left/0", "right/0")
    harness.link_to_producer(1, "left")
    harness.link_to_producer(3, "right")
    assert (harness.asks(1), harness.asks(3)) == ([3], [2])
    harness.eos(1)
    assert harness.asks(3) == [2, 3]


def test_every_producer_is_heard_where_there_are_more_than_places() -> None:
    """One each: an idle producer keeps nobody waiting."""
    harness = StageHarness(AsyncStage, {"run": select, "concurrency": 1})
    harness.expect("left/0", "right/0")
    harness.link_to_producer(1, "left")
    harness.link_to_producer(3, "right")
    harness.route(3, ["item"])
    assert (harness.asks(1), harness.asks(3)) == ([1], [1])
    assert harness.offspring is not None
    assert len(harness.offspring.running) == 1
