"""Whose turn it is among children that start and stop one by one, as tables."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from actorflow.protocol.identity import StageId
from actorflow.stage.behaviour import Stage
from actorflow.stage.spec import StageSpec
from actorflow.supervision.specs import ChildSpec, DynamicSupervisorSpec, Plan, SupervisorSpec
from actorflow.supervision.tree import Tree
from actorflow.supervision.turns import Turns

ONE_BY_ONE, TOGETHER = "one_by_one", "together"


def tree(where: dict[str, str], *, root: str = TOGETHER, **orders: str) -> Tree:
    """A tree of these stages, each in its supervisor, whose orders are given from the outside."""
    supervisors: list[SupervisorSpec] = []
    for name, order in orders.items():
        parent = "outer" if name == "inner" and "outer" in orders else ""
        supervisors.append(SupervisorSpec(name=name, parent=parent, order=order))
    children = [
        ChildSpec(stage=StageSpec(id=StageId(name), behaviour=Stage), supervisor=supervisor)
        for name, supervisor in where.items()
    ]
    plan = Plan(name="test", children=children, order=root, supervisors=supervisors)
    return Tree(plan, lambda stage: True)


def ids(names: str) -> list[StageId]:
    """``"ab"``: the stages a and b."""
    return [StageId(name) for name in names]


def turns(on: Turns, wave: Sequence[StageId]) -> list[str]:
    """Who has the turn, wave after wave, when each wave is over as a whole."""
    on.wait(wave)
    waves: list[str] = []
    while going := on.next():
        waves.append("".join(stage.name for stage in going))
        for stage in going:
            on.over(stage)
    return waves


@pytest.mark.parametrize(
    ("where", "orders", "starts", "stops"),
    [
        (
            {"a": "", "b": "", "c": ""},
            {"root": TOGETHER},
            ["abc"],
            ["cba"],
        ),
        (
            {"a": "", "b": "", "c": ""},
            {"root": ONE_BY_ONE},
            ["a", "b", "c"],
            ["c", "b", "a"],
        ),
        # The inner supervisor is one child: all of it is there before d is started.
        (
            {"a": "", "b": "inner", "c": "inner", "d": ""},
            {"root": ONE_BY_ONE, "inner": TOGETHER},
            ["a", "bc", "d"],
            ["d", "cb", "a"],
        ),
        # Nobody outside waits for the inner ones, and they for nobody outside.
        (
            {"a": "", "b": "inner", "c": "inner", "d": ""},
            {"root": TOGETHER, "inner": ONE_BY_ONE},
            ["abd", "c"],
            ["dca", "b"],
        ),
        # The innermost supervisor of two decides: a and d are the root's, b and c the outer's.
        (
            {"a": "outer", "b": "inner", "c": "inner", "d": "outer", "e": ""},
            {"root": ONE_BY_ONE, "outer": TOGETHER, "inner": ONE_BY_ONE},
            ["abd", "c", "e"],
            ["e", "dca", "b"],
        ),
        (
            {"a": "outer", "b": "inner", "c": "inner", "d": "outer", "e": ""},
            {"root": TOGETHER, "outer": ONE_BY_ONE, "inner": TOGETHER},
            ["ae", "bc", "d"],
            ["ed", "cb", "a"],
        ),
    ],
)
def test_who_waits_for_whom(
    where: dict[str, str], orders: dict[str, str], starts: list[str], stops: list[str]
) -> None:
    """The order of the innermost supervisor that two children have in common."""
    stages = ids("".join(where))
    assert turns(Turns(tree(where, **orders)), stages) == starts
    assert turns(Turns(tree(where, **orders), backwards=True), stages[::-1]) == stops


def test_the_turn_goes_on_past_those_who_do_not_take_part() -> None:
    """A group that starts again has not everybody in it; who is not in it is not waited for."""
    on = Turns(tree(dict.fromkeys("abcd", ""), root=ONE_BY_ONE))
    assert turns(on, ids("bd")) == ["b", "d"]


def test_one_whose_turn_is_taken_back_is_still_waited_for() -> None:
    """It failed and comes back, or its group is to be started anew; then those after it wait."""
    on = Turns(tree(dict.fromkeys("abc", ""), root=ONE_BY_ONE))
    on.wait(ids("abc"))
    assert on.next() == ids("a")
    for stage in ids("ab"):
        on.hold(stage)
    assert on.next() == []
    on.wait(ids("ab"))
    assert on.next() == ids("a")
    on.over(StageId("a"))
    assert on.next() == ids("b")
    on.over(StageId("b"))
    assert on.next() == ids("c")


def test_one_that_is_given_up_is_not_waited_for() -> None:
    """Whether it had its turn or not."""
    on = Turns(tree(dict.fromkeys("abc", ""), root=ONE_BY_ONE))
    on.wait(ids("abc"))
    on.over(StageId("a"))
    on.over(StageId("b"))
    assert on.next() == ids("c")
    on.over(StageId("c"))
    on.over(StageId("c"))
    assert on.next() == []
    assert turns(on, ids("ab")) == ["a", "b"]


def test_one_that_comes_first_goes_first_however_late_it_says_so() -> None:
    """Its place in the tree counts, not the order of asking; who has the turn keeps it."""
    on = Turns(tree(dict.fromkeys("abc", ""), root=ONE_BY_ONE))
    on.wait(ids("b"))
    assert on.next() == ids("b")
    on.wait(ids("ca"))
    assert on.next() == ids("a")
    on.over(StageId("a"))
    assert on.next() == []
    on.over(StageId("b"))
    assert on.next() == ids("c")


def test_the_children_of_a_dynamic_supervisor_stop_together() -> None:
    """Among the others of a supervisor that goes one by one they have one turn."""
    jobs = DynamicSupervisorSpec(name="jobs")
    children = [
        ChildSpec(stage=StageSpec(id=StageId(name), behaviour=Stage), supervisor=supervisor)
        for name, supervisor in (("a", ""), ("x", "jobs"), ("y", "jobs"), ("b", ""))
    ]
    plan = Plan(name="test", children=children, order=ONE_BY_ONE, supervisors=[jobs])
    on = Turns(Tree(plan, lambda stage: True), backwards=True)
    assert turns(on, ids("byxa")) == ["b", "yx", "a"]
