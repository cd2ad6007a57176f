"""Who has a permit and who waits: the table alone, against a model."""

from __future__ import annotations

import random

from actorflow.supervision.permits import PermitTable


def test_first_come_first_served() -> None:
    """One permit, three who want it."""
    table = PermitTable({"pool": 1})
    assert [table.ask(who, "pool") for who in "abc"] == [True, False, False]
    assert table.gone("a") == "b"
    assert table.gone("b") == "c"
    assert table.gone("c") is None
    assert table.free("pool") == 1


def test_one_that_waits_may_leave() -> None:
    """Its place in the queue is gone, nobody else's is."""
    table = PermitTable({"pool": 1})
    for who in "abc":
        table.ask(who, "pool")
    assert table.gone("b") is None
    assert table.gone("a") == "c"


def test_one_that_nobody_knows_changes_nothing() -> None:
    """It has left before it said what it wants."""
    table = PermitTable({"pool": 1})
    assert table.gone("a") is None
    assert "a" not in table
    assert table.free("pool") == 1


def test_never_more_than_there_are_and_none_is_lost() -> None:
    """2 000 random steps: who has one is as many as were given and not taken back."""
    choose = random.Random(5)
    table = PermitTable({"pool": 3, "lock": 1})
    limit = {"pool": 3, "lock": 1}
    has: dict[str, set[int]] = {"pool": set(), "lock": set()}
    waits: dict[str, list[int]] = {"pool": [], "lock": []}
    for who in range(2_000):
        name = choose.choice(["pool", "lock"])
        if table.ask(who, name):
            has[name].add(who)
        else:
            waits[name].append(who)
        for _ in range(choose.randrange(3)):
            name = choose.choice(["pool", "lock"])
            known = [*has[name], *waits[name]]
            if not known:
                continue
            leaver = choose.choice(known)
            successor = table.gone(leaver)
            if leaver in has[name]:
                has[name].remove(leaver)
                assert successor == (waits[name].pop(0) if waits[name] else None)
            else:
                waits[name].remove(leaver)
                assert successor is None
            if successor is not None:
                has[name].add(successor)
        for name, most in limit.items():
            assert len(has[name]) <= most
            assert table.free(name) == most - len(has[name])
            assert not (waits[name] and table.free(name))
