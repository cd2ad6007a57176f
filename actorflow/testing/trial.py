"""One stage on trial: inputs in, outputs out, under a virtual clock."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from actorflow.errors import OptionError
from actorflow.protocol.arguments import (
    check_events,
    check_instance,
    check_integer,
    check_map,
    check_text,
)
from actorflow.protocol.demand import SubscriptionOptions
from actorflow.protocol.identity import StageId
from actorflow.runtime.simulated.faults import Faults
from actorflow.stage.behaviour import Consumer, Producer, Stage, Subscription, kind_of
from actorflow.stage.options import StageOptions
from actorflow.supervision.events import StageLogged
from actorflow.supervision.specs import ChildSpec, Intensity, Plan, StageSpec, SubscriptionSpec
from actorflow.testing.simulation import Simulation
from actorflow.topology.planning import class_options

__all__ = ["Outputs", "run"]

INPUTS, OUTPUTS = "inputs", "outputs"


class Outputs(list[Any]):
    """What a stage on trial emitted, in order: a list, with what else came out of it.

    Attributes:
        result: what it passed to `set_result`, or None.
        notifications: what it passed to `notify`, in order.
        logs: the events of its log lines, in order.
        seconds: how much virtual time it took.

    Example:
        >>> outputs = Outputs([1, 2])
        >>> outputs == [1, 2], outputs.result, outputs.notifications
        (True, None, [])
    """

    def __init__(self, events: Iterable[Any] = ()) -> None:
        super().__init__(events)
        self.result: Any = None
        self.notifications: list[Any] = []
        self.logs: list[str] = []
        self.seconds = 0.0


class _Inputs(Producer):
    def __init__(self, events: list[Any]) -> None:
        self.events = events

    def on_start(self) -> None:
        if not self.events:
            self.finish()

    def handle_demand(self, demand: int) -> list[Any]:
        taken, self.events = self.events[:demand], self.events[demand:]
        if not self.events:
            self.finish()
        return taken


class _Outputs(Consumer):
    def __init__(self) -> None:
        self.told: list[Any] = []

    def handle_events(self, events: list[Any], subscription: Subscription) -> None:
        pass

    def handle_notification(self, message: Any, subscription: Subscription) -> None:
        self.told.append(message)

    def on_stop(self, reason: Any) -> None:
        self.set_result(self.told)


def run(
    stage: type[Stage],
    inputs: Iterable[Any] = (),
    *,
    args: Mapping[str, Any] | None = None,
    options: StageOptions | None = None,
    max_demand: int | Literal["auto"] = "auto",
    take: int | None = None,
    name: str = "stage",
    seed: int = 0,
    faults: Faults | None = None,
) -> Outputs:
    """Run one stage by itself: feed it `inputs` as a producer would, and collect what it emits.

    The stage runs in a simulated process: its class and arguments are pickled, its events travel
    through the codec, time is virtual. It ends when it has finished with the last input, or, a
    source, when it calls `finish`.

    Args:
        stage: its class.
        inputs: the events for it; a producer takes none.
        args: the constructor's keyword arguments.
        options: how it produces; the default is what its class says.
        max_demand: of its subscription to the inputs, and of the one to its outputs.
        take: stop after so many outputs, for a source that does not end.
        name: what it is called.
        seed: another one is another order of events.
        faults: what goes wrong.

    Raises:
        OptionError: inputs for a producer.
        Stalled: the stage never ends.
        Exception: whatever the stage raised.

    Example:
        >>> from actorflow.stage.behaviour import ProducerConsumer
        >>> class Double(ProducerConsumer):
        ...     def handle_events(self, events, subscription):
        ...         return [2 * event for event in events]
        >>> run(Double, [1, 2, 3])
        [2, 4, 6]
    """
    try:
        kind = kind_of(stage)
    except TypeError:
        raise OptionError("stage", "a class of a stage", stage) from None
    events = list(check_events("inputs", inputs))
    if args is not None:
        check_map("args", args)
    check_text("name", name)
    if options is not None:
        check_instance("options", options, StageOptions)
    if take is not None:
        check_integer("take", take)
    if events and kind == "producer":
        raise OptionError("inputs", "empty for a producer", events)
    simulation = Simulation(
        _plan(
            stage,
            kind,
            events,
            args=args or {},
            options=options,
            max_demand=max_demand,
            name=name,
        ),
        seed=seed,
        faults=faults,
    )
    if take is not None:
        simulation.run_until(lambda: len(_collected(simulation)) >= take)
    finished = simulation.finish() if take is None or simulation.over else simulation.stop()
    outputs = Outputs(_collected(simulation)[:take])
    outputs.result = finished.results.get(name)
    outputs.notifications = finished.results.get(OUTPUTS, [])
    outputs.logs = [
        each.record.event
        for each in finished.events
        if isinstance(each, StageLogged) and each.child.stage.name == name
    ]
    outputs.seconds = finished.seconds
    return outputs


def _collected(simulation: Simulation) -> list[Any]:
    return [
        event
        for each in simulation.history
        if each.stage.stage.name == OUTPUTS
        for event in each.events
    ]


def _plan(
    stage: type[Stage],
    kind: str,
    inputs: list[Any],
    *,
    args: Mapping[str, Any],
    options: StageOptions | None,
    max_demand: int | Literal["auto"],
    name: str,
) -> Plan:
    children = [ChildSpec(stage=_spec(stage, name, args, options or _own_options(stage)))]
    subscriptions = []
    link = SubscriptionOptions(max_demand=max_demand)
    if kind != "producer":
        children.insert(0, ChildSpec(stage=_spec(_Inputs, INPUTS, {"events": inputs})))
        subscriptions.append(SubscriptionSpec(consumer=name, producer=INPUTS, options=link))
    if kind != "consumer":
        children.append(ChildSpec(stage=_spec(_Outputs, OUTPUTS, {})))
        subscriptions.append(SubscriptionSpec(consumer=OUTPUTS, producer=name, options=link))
    return Plan(
        name="trial",
        children=children,
        subscriptions=subscriptions,
        # The first exception is the answer; a trial with faults is there to see restarts.
        intensity=Intensity(max_restarts=0),
    )


def _spec(
    stage: type[Stage], name: str, args: Mapping[str, Any], options: StageOptions | None = None
) -> StageSpec:
    return StageSpec(
        id=StageId(name), behaviour=stage, arguments=args, options=options or StageOptions()
    )


def _own_options(stage: type[Stage]) -> StageOptions:
    """What the class's attributes say."""
    return StageOptions(**class_options(stage))
