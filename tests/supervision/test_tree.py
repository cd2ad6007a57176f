"""What an end in a tree of supervisors leads to, as tables: who comes back, stops, gives up."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from actorflow.errors import NoSuchStage
from actorflow.protocol.identity import StageId
from actorflow.stage.behaviour import Stage
from actorflow.stage.spec import StageSpec
from actorflow.supervision.specs import Backoff, ChildSpec, Intensity, Plan, SupervisorSpec
from actorflow.supervision.tree import Decision, Tree

ONCE = Intensity(max_restarts=1, max_seconds=10)
NEVER = Intensity(max_restarts=0, max_seconds=10)


def child(name: str, supervisor: str = "", **options: object) -> ChildSpec:
    """A stage below a supervisor."""
    stage = StageSpec(id=StageId(name), behaviour=Stage)
    return ChildSpec(stage=stage, supervisor=supervisor, **options)  # type: ignore[arg-type]


def tree(
    children: Sequence[ChildSpec],
    supervisors: Sequence[SupervisorSpec] = (),
    *,
    ended: str = "",
    strategy: str = "one_for_one",
    intensity: Intensity | None = None,
    auto_shutdown: str = "never",
) -> Tree:
    """A tree whose stages all run, but those whose letters are in `ended`."""
    plan = Plan(
        name="test",
        children=children,
        supervisors=supervisors,
        strategy=strategy,
        intensity=intensity or Intensity(),
        auto_shutdown=auto_shutdown,
    )
    return Tree(plan, lambda stage: stage.name not in ended)


def names(stages: Sequence[StageId]) -> str:
    """``"abc"``."""
    return "".join(stage.name for stage in stages)


def fails(on: Tree, stage: str, now: float = 0.0) -> Decision:
    """The stage ends badly."""
    return on.ended(StageId(stage), normal=False, now=now)


def ends(on: Tree, stage: str, now: float = 0.0) -> Decision:
    """The stage ends in order."""
    return on.ended(StageId(stage), normal=True, now=now)


@pytest.mark.parametrize(
    ("strategy", "restarted"),
    [
        ("one_for_one", {"a": "a", "b": "b", "c": "c", "d": "d", "e": "e"}),
        ("one_for_all", {"a": "abcde", "b": "b", "c": "c", "d": "d", "e": "abcde"}),
        ("rest_for_one", {"a": "abcde", "b": "b", "c": "c", "d": "d", "e": "e"}),
    ],
)
def test_a_supervisor_is_one_child_among_the_others(
    strategy: str, restarted: dict[str, str]
) -> None:
    """The root's strategy is about its own children; those of the inner one are not disturbed."""
    inner = SupervisorSpec(name="inner")
    children = [child("a"), *(child(name, "inner") for name in "bcd"), child("e")]
    for stage, group in restarted.items():
        decision = fails(tree(children, [inner], strategy=strategy), stage)
        assert names(decision.restart) == group
        assert not decision.stop
        assert not decision.gave_up


@pytest.mark.parametrize(
    ("strategy", "group"),
    [("one_for_one", "bc"), ("one_for_all", "abcd"), ("rest_for_one", "bcd")],
)
def test_one_that_gives_up_is_restarted_by_its_parents_strategy(strategy: str, group: str) -> None:
    """It comes back with all its stages; so do those that the parent restarts with it."""
    inner = SupervisorSpec(name="inner", intensity=NEVER)
    children = [child("a"), child("b", "inner"), child("c", "inner"), child("d")]
    decision = fails(tree(children, [inner], strategy=strategy), "c")
    assert names(decision.restart) == group
    assert [each.name for each in decision.gave_up] == ["inner"]
    assert decision.revived == ("inner",)


def test_a_restarted_supervisor_has_no_restarts_behind_it() -> None:
    """Its intensity counts from anew, its parent's goes on."""
    inner = SupervisorSpec(name="inner", intensity=ONCE)
    on = tree([child("a", "inner")], [inner], intensity=ONCE)
    gave_up = [[each.name for each in fails(on, "a").gave_up] for _ in range(4)]
    assert gave_up == [[], ["inner"], [], ["inner", ""]]
    assert fails(tree([child("a")], intensity=NEVER), "a").run == "failed"


def test_the_window_moves() -> None:
    """A restart longer ago than `max_seconds` is forgotten."""
    on = tree([child("a")], intensity=ONCE)
    assert [fails(on, "a", now).run for now in (0, 10.5, 21, 22)] == ["", "", "", "failed"]


def test_escalation_goes_through_any_depth() -> None:
    """Four supervisors, each of which allows nothing: all give up, from the inside outward."""
    chain = [
        SupervisorSpec(name=f"s{depth}", parent=f"s{depth - 1}" if depth else "", intensity=NEVER)
        for depth in range(3)
    ]
    on = tree([child("a", "s2"), child("b", "s1"), child("c")], chain, intensity=ONCE)
    first, second = fails(on, "a"), fails(on, "a")
    assert [each.name for each in first.gave_up] == ["s2", "s1", "s0"]
    assert names(first.restart) == "ab"
    assert first.revived == ("s0", "s1", "s2")
    assert [each.name for each in second.gave_up] == ["s2", "s1", "s0", ""]
    assert second.run == "failed"


def test_a_temporary_supervisor_that_gives_up_stays_away() -> None:
    """Its other stages are stopped; nobody else is disturbed."""
    inner = SupervisorSpec(name="inner", intensity=NEVER, restart="temporary")
    on = tree([child("a"), child("b", "inner"), child("c", "inner")], [inner])
    decision = fails(on, "b")
    assert (names(decision.restart), names(decision.stop)) == ("", "c")
    assert not decision.revived


def test_temporary_members_stop_with_their_group_and_stay_away() -> None:
    """A stage, or a whole supervisor (OTP)."""
    inner = SupervisorSpec(name="inner", restart="temporary")
    children = [child("a"), child("b", restart="temporary"), child("c", "inner")]
    decision = fails(tree(children, [inner], strategy="one_for_all"), "a")
    assert (names(decision.restart), names(decision.stop)) == ("a", "bc")


def test_a_supervisor_that_begins_again_starts_its_temporary_stages_too() -> None:
    """It is a new supervisor, and starts what it was declared with."""
    inner = SupervisorSpec(name="inner", intensity=NEVER)
    on = tree([child("a", "inner"), child("b", "inner", restart="temporary")], [inner])
    decision = fails(on, "a")
    assert (names(decision.restart), names(decision.stop)) == ("ab", "")


@pytest.mark.parametrize(
    ("automatic", "ended", "run"),
    [
        ("any_significant", "", "done"),
        ("all_significant", "", ""),
        ("all_significant", "b", "done"),
    ],
)
def test_significant_children_end_their_supervisor(automatic: str, ended: str, run: str) -> None:
    """Any of them, or the last of them, as `auto_shutdown` says (OTP 24)."""
    children = [child("a", significant=True), child("b", significant=True), child("c")]
    on = tree(children, auto_shutdown=automatic, ended=ended)
    assert ends(on, "c").run == ""
    assert ends(on, "a").run == run


def test_a_significant_child_that_comes_back_ends_nothing() -> None:
    """A transient one that ended badly; a temporary one counts however it ended."""
    transient = tree([child("a", significant=True)], auto_shutdown="any_significant")
    assert names(fails(transient, "a").restart) == "a"
    temporary = [child("a", significant=True, restart="temporary")]
    assert fails(tree(temporary, auto_shutdown="any_significant"), "a").run == "done"


@pytest.mark.parametrize(
    ("restart", "decided"),
    [("transient", ("", "b", "")), ("permanent", ("ab", "", "")), ("temporary", ("", "b", ""))],
)
def test_a_shutdown_is_an_orderly_end_of_the_supervisor(
    restart: str, decided: tuple[str, str, str]
) -> None:
    """Only a permanent one is started again by its parent."""
    inner = SupervisorSpec(name="inner", auto_shutdown="any_significant", restart=restart)
    on = tree([child("a", "inner", significant=True), child("b", "inner"), child("c")], [inner])
    decision = ends(on, "a")
    assert (names(decision.restart), names(decision.stop), decision.run) == decided
    assert decision.shut_down == ("inner",)


def test_significance_climbs() -> None:
    """A significant supervisor that shuts down may end the one above it."""
    outer = SupervisorSpec(name="outer", auto_shutdown="all_significant")
    inner = SupervisorSpec(
        name="inner", parent="outer", auto_shutdown="any_significant", significant=True
    )
    children = [child("a", "inner", significant=True), child("b", "outer"), child("c")]
    decision = ends(tree(children, [outer, inner]), "a")
    assert decision.shut_down == ("inner", "outer")
    assert (names(decision.stop), decision.run) == ("b", "")


def test_back_off_does_not_use_up_the_intensity() -> None:
    """Longer and longer pauses, and no end, where nothing at all is allowed without back-off."""
    patient = Backoff(initial=1, factor=2, max=10)
    on = tree([child("a", backoff=patient), child("b")], intensity=NEVER)
    now, pauses = 0.0, []
    for _ in range(6):
        decision = fails(on, "a", now)
        pauses.append(decision.pause)
        now += decision.pause
    assert pauses == [1, 2, 4, 8, 10, 10]
    assert fails(on, "b", now).run == "failed"


def test_a_long_life_ends_the_row() -> None:
    """A child that lived as long as the longest pause begins with the shortest again."""
    on = tree([child("a", backoff=Backoff(initial=1, factor=2, max=4))])
    assert fails(on, "a", 100).pause == 1
    assert fails(on, "a", 101).pause == 2
    assert fails(on, "a", 103 + 3.9).pause == 4
    assert fails(on, "a", 106.9 + 4 + 4).pause == 1


def test_too_many_attempts_in_a_row_are_given_up() -> None:
    """`attempts` is the intensity of a child with back-off; then it begins anew."""
    limited = Backoff(initial=1, factor=1, max=5, attempts=2)
    inner = SupervisorSpec(name="inner")
    on = tree([child("a", "inner", backoff=limited)], [inner], intensity=ONCE)
    now = 0.0
    gave_up = []
    for _ in range(6):
        decision = fails(on, "a", now)
        gave_up.append(len(decision.gave_up))
        now += decision.pause
    assert gave_up == [0, 0, 1, 0, 0, 2]


def test_a_draining_run_is_not_patient() -> None:
    """Without patience restarts come at once, and count."""
    on = tree([child("a", backoff=Backoff())], intensity=ONCE)
    first = on.ended(StageId("a"), normal=False, now=0, patient=False)
    second = on.ended(StageId("a"), normal=False, now=0, patient=False)
    assert (first.pause, first.run, second.run) == (0.0, "", "failed")


def test_a_supervisor_has_a_back_off_too() -> None:
    """It concerns the restarts of the supervisor, not those of its children."""
    inner = SupervisorSpec(name="inner", intensity=NEVER, backoff=Backoff(initial=3, max=3))
    decision = fails(tree([child("a", "inner")], [inner], intensity=NEVER), "a")
    assert (names(decision.restart), decision.pause) == ("a", 3)


def test_jitter_is_the_same_each_time_and_not_for_all() -> None:
    """Replicas do not come back together, and a run can be repeated."""
    backoff = Backoff(initial=1, max=1, jitter=0.5)
    pauses = {index: backoff.pause(1, f"a/{index}") for index in range(20)}
    assert pauses == {index: backoff.pause(1, f"a/{index}") for index in range(20)}
    assert len(set(pauses.values())) > 10
    assert all(0.5 <= pause <= 1 for pause in pauses.values())
    assert min(pauses.values()) < 0.6, "less is left to chance than jitter says"
    assert max(pauses.values()) > 0.9


def test_the_order_is_that_of_the_first_stages() -> None:
    """A supervisor stands where its first stage does, and its stages stand together."""
    inner, empty = SupervisorSpec(name="inner"), SupervisorSpec(name="empty")
    children = [child("a"), child("b", "inner"), child("c"), child("d", "inner")]
    on = tree(children, [empty, inner])
    assert names(list(on.in_order())) == "abdc"
    on.add(child("e", "empty"))
    on.add(child("f", "inner"))
    assert names(list(on.in_order())) == "abdfce"
    on.remove(StageId("b"))
    assert names(list(on.in_order())) == "adfce"


def test_a_new_replica_stands_with_the_others() -> None:
    """So that a restart of the stage before it, or behind it, concerns it like them."""
    on = tree([child("a"), child("b"), child("c")], strategy="rest_for_one")
    more = StageSpec(id=StageId("b", 1), behaviour=Stage, replicas=2)
    on.add(ChildSpec(stage=more))
    assert [str(stage) for stage in on.in_order()] == ["a/0", "b/0", "b/1", "c/0"]
    assert names(fails(on, "c").restart) == "c"
    assert names(fails(on, "b").restart) == "bbc"


def test_an_unknown_supervisor_is_named() -> None:
    """With those that there are."""
    on = tree([child("a", "inner")], [SupervisorSpec(name="inner")])
    with pytest.raises(NoSuchStage, match=r"no supervisor 'iner'; .*inner"):
        on.node("iner")
