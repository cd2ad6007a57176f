"""How a child is stopped: which deadlines are set, and in which order children are asked."""

from __future__ import annotations

import pytest

from actorflow import OptionError, Producer, SupervisorOptions, Topology
from actorflow.protocol.identity import StageId
from actorflow.supervision.children import ChildState
from actorflow.supervision.specs import (
    Backoff,
    ChildSpec,
    DynamicSupervisorSpec,
    Intensity,
    Plan,
    StageSpec,
    SupervisorSpec,
)
from actorflow.testing import Simulation


class Idle(Producer):
    """Has nothing, and is never done."""

    def handle_demand(self, demand: int) -> None:
        """Nothing."""


def running(topology: Topology) -> Simulation:
    """A run all of whose stages run."""
    simulation = Simulation(topology, seed=6).start()
    children = simulation.core.in_order()
    simulation.run_until(lambda: all(each.state is ChildState.RUNNING for each in children))
    return simulation


@pytest.mark.parametrize(
    ("shutdown", "deadlines", "killed"),
    [
        (4.0, [2.0, 4.0], []),
        ("infinity", [], []),
        ("brutal_kill", [], ["kill"]),
        (0, [], ["kill"]),
    ],
)
def test_the_kinds_of_shutdown(
    shutdown: float | str,
    deadlines: list[float],
    killed: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Seconds: SIGTERM at half of them, SIGKILL at their end; or none at all, or at once."""
    simulation = running(Topology("one").stage("a", Idle, shutdown=shutdown))
    core = simulation.core
    timers: list[float] = []
    signals: list[str] = []
    send = simulation.world.signal
    monkeypatch.setattr(core, "after", lambda seconds, fire: timers.append(seconds))
    monkeypatch.setattr(
        simulation.world, "signal", lambda who, what: (signals.append(what), send(who, what))
    )
    core.terminate(core.children[StageId("a")])
    assert (timers, signals) == (deadlines, killed)


def test_together_starts_and_stops_are_asked_for_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """Depth first, as declared; the last started is asked first, in a group as at the end."""
    topology = Topology("tree", supervisor=SupervisorOptions(strategy="one_for_all"))
    for name in "abcdef":
        topology = topology.stage(name, Idle)
    topology = topology.supervise("outer", ["b", "e"]).supervise("inner", ["d"], inside="outer")
    simulation = Simulation(topology, seed=6)
    spawned: list[str] = []
    asked: list[str] = []
    spawn, send = simulation.world.spawn, simulation.world.send

    def spy_spawn(child: object, spec: StageSpec) -> None:
        spawned.append(spec.id.name)
        spawn(child, spec)  # type: ignore[arg-type]

    def spy_send(child: object, message: object) -> None:
        if b"Stop" in getattr(message, "body", b""):
            asked.append(child.stage.name)  # type: ignore[attr-defined]
        send(child, message)  # type: ignore[arg-type]

    monkeypatch.setattr(simulation.world, "spawn", spy_spawn)
    monkeypatch.setattr(simulation.world, "send", spy_send)
    simulation.start()
    children = simulation.core.in_order()
    simulation.run_until(lambda: all(each.state is ChildState.RUNNING for each in children))
    assert "".join(spawned) == "abdecf"
    simulation.world.signal(simulation.core.children[StageId("c")].incarnation, "kill")
    simulation.run_until(lambda: all(each.generation == 2 for each in children))
    assert "".join(asked) == "fedba"
    assert "".join(spawned[6:]) == "abdecf"
    simulation.run_until(lambda: all(each.state is ChildState.RUNNING for each in children))
    simulation.stop()
    assert "".join(asked[5:]) == "fcedba"


STAGE = StageSpec(id=StageId("a"), behaviour=Idle)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: ChildSpec(stage=STAGE, restart="always"), "restart must be one of permanent"),
        (lambda: ChildSpec(stage=STAGE, shutdown="kill"), "shutdown must be .*brutal_kill"),
        (lambda: ChildSpec(stage=STAGE, shutdown=-1), "shutdown must be .*brutal_kill"),
        (lambda: ChildSpec(stage=STAGE, shutdown=float("inf")), "shutdown must be"),
        (lambda: ChildSpec(stage=STAGE, shutdown=None), "shutdown must be"),  # type: ignore[arg-type]
        (
            lambda: ChildSpec(stage=STAGE, significant=True, restart="permanent"),
            "significant must be false for a permanent child",
        ),
        (lambda: ChildSpec(stage=STAGE, significant=1), "significant must be true or false"),  # type: ignore[arg-type]
        (lambda: ChildSpec(stage=STAGE, supervisor=3), "supervisor must be"),  # type: ignore[arg-type]
        (lambda: ChildSpec(stage=STAGE, backoff=3), "backoff must be a Backoff"),  # type: ignore[arg-type]
        (lambda: SupervisorSpec(name="s", strategy="one_for_none"), "strategy must be one of"),
        (lambda: SupervisorSpec(name="s", order="sorted"), "order must be one of together, one_by"),
        (lambda: Plan(name="p", children=[], order="sorted"), "order must be one of together, one"),
        (
            lambda: DynamicSupervisorSpec(name="s", order="one_by_one"),
            "order must be together for a dynamic supervisor.*independent of each other",
        ),
        (lambda: SupervisorSpec(name="s", auto_shutdown="soon"), "auto_shutdown must be one of"),
        (lambda: SupervisorSpec(name="s", strategy=["one_for_one"]), "strategy must be one of"),  # type: ignore[arg-type]
        (lambda: Intensity(max_restarts=-1), "max_restarts must be an integer of at least 0"),
        (lambda: Intensity(max_seconds=0), "max_seconds must be a number of seconds above 0"),
        (lambda: Backoff(initial=0), "initial must be a number of seconds above 0"),
        (lambda: Backoff(initial=2, max=1), "max must be .*at least as many as initial"),
        (lambda: Backoff(factor=0.5), "factor must be a number from 1"),
        (lambda: Backoff(attempts=0), "attempts must be an integer of at least 1"),
        (lambda: Backoff(jitter=1.5), "jitter must be a number from 0 to 1"),
        (
            lambda: Plan(name="p", children=[ChildSpec(stage=STAGE), ChildSpec(stage=STAGE)]),
            "children must be of different names, got 'a/0'",
        ),
        (
            lambda: Plan(
                name="p", children=[ChildSpec(stage=STAGE)], supervisors=[SupervisorSpec(name="a")]
            ),
            "supervisors must be of different names, got 'a'",
        ),
        (
            lambda: Plan(name="p", children=[ChildSpec(stage=STAGE, supervisor="s")]),
            "supervisor must be one of the plan's supervisors, got 's'",
        ),
        (
            lambda: Plan(name="p", children=[], supervisors=[SupervisorSpec(name="a", parent="b")]),
            "parent must be a supervisor named before it, got 'b'",
        ),
        (
            lambda: Plan(name="p", children=[ChildSpec(stage=STAGE, significant=True)]),
            "significant must be false where the supervisor's auto_shutdown is never",
        ),
        (
            lambda: Plan(
                name="p", children=[], supervisors=[SupervisorSpec(name="s", significant=True)]
            ),
            "significant must be false where the supervisor's auto_shutdown is never",
        ),
        (lambda: Topology("t").supervise("s", "ab"), "stages must be a list"),
        (lambda: Topology("t").supervise("s", [1]), "stages must be a tuple of str"),  # type: ignore[list-item]
        (lambda: Topology("t").supervise("a b"), "name must be a name"),
        (lambda: Topology("t").supervise("s", backoff={"first": 1}), "backoff must be a Backoff"),
    ],
)
def test_bad_options_are_refused_where_they_are_passed(make: object, said: str) -> None:
    """With the option, its rule and the value."""
    with pytest.raises(OptionError, match=said):
        make()  # type: ignore[operator]


def test_mistakes_among_supervisors_declared_in_python() -> None:
    """All of them at once, each with its place."""
    topology = (
        Topology("mistakes")
        .stage("a", Idle)
        .stage("b", Idle, significant=True)
        .supervise("one", ["a", "c"], inside="two")
        .supervise("two", ["a"], inside="one")
        .supervise("three", inside="for")
        .supervise("a", inside="jobs")
        .dynamic_supervisor("jobs")
    )
    assert [str(problem) for problem in topology.problems()] == [
        "supervisors: 'a' is the name of a stage",
        "supervisors.one.inside: 'one' is inside itself",
        "supervisors.two.inside: 'two' is inside itself",
        "supervisors.three.inside: unknown supervisor 'for'; known: 'one', 'two', 'a', 'jobs'",
        "supervisors.a.inside: 'jobs' is dynamic: its children come later",
        "supervisors.one.stages.1: unknown stage 'c'; known: 'a', 'b'",
        "supervisors.two.stages.0: 'a' has a supervisor already, 'one'; a stage has one",
        "stages.b.significant: has no effect: its supervisor's auto_shutdown is never;"
        " say any_significant or all_significant there",
    ]
