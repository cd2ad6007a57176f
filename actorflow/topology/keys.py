"""Every key of a topology, once: its name, what it accepts, its default and what it is for.

These tables drive the reading of YAML, the checks of the Python classes and the documentation.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from actorflow.protocol.demand import SubscriptionOptions
from actorflow.protocol.identity import StageId
from actorflow.stage.behaviour import Stage
from actorflow.stage.options import StageOptions
from actorflow.supervision.specs import (
    AUTO_SHUTDOWNS,
    ORDERS,
    STRATEGIES,
    Backoff,
    ChildSpec,
    DynamicSupervisorSpec,
    Intensity,
    Plan,
    StageSpec,
    SubscriptionSpec,
    SupervisorSpec,
)
from actorflow.topology.classes import StageClass
from actorflow.topology.dispatchers import MAX_REPLICAS, DispatcherRule
from actorflow.topology.failing import OnErrorRule
from actorflow.topology.report import Path, Report
from actorflow.topology.rules import (
    Anything,
    Choice,
    Function,
    Integer,
    Name,
    Owned,
    Rule,
    Scalar,
    Text,
)
from actorflow.topology.tables import Each, Key, Named, OneOrAnother, Table

__all__ = [
    "BACKOFF",
    "DEFAULTS",
    "DYNAMIC",
    "NESTED",
    "STAGE",
    "SUBSCRIPTION",
    "SUPERVISOR",
    "TOPOLOGY",
    "stage_option_names",
]

_EMITTING = ("producer", "producer_consumer")
_TAKING = ("producer_consumer", "consumer")
_CHILD = {"stage": StageSpec(id=StageId("any"), behaviour=Stage)}


_RULES = (
    Key(
        "strategy",
        Choice(STRATEGIES),
        "Who is restarted when a child ends badly: it alone, all, or it and all started after it.",
    ),
    Key(
        "order",
        Choice(ORDERS),
        "How its children start and stop: without waiting for each other, or each in its turn.",
    ),
    Key(
        "max_restarts",
        Owned(Intensity, "max_restarts"),
        "With more restarts than this within `max_seconds` it gives up.",
    ),
    Key(
        "max_seconds",
        Owned(Intensity, "max_seconds"),
        "The time that `max_restarts` is about.",
    ),
    Key(
        "auto_shutdown",
        Choice(AUTO_SHUTDOWNS),
        "Whether it shuts down when a significant child has ended for good, or the last of them.",
    ),
)

SUPERVISOR = Table(
    "the supervisor",
    "supervisor",
    (
        *_RULES,
        Key(
            "ends_when_idle",
            Owned(Plan, "ends_when_idle", {"name": "any", "children": ()}),
            "Whether the run is drained once nothing more can flow in it by itself.",
            default="false; true for `actorflow run`",
        ),
    ),
)

BACKOFF = Table(
    "a back-off",
    "stages.NAME.backoff",
    (
        Key("initial", Owned(Backoff, "initial"), "Seconds before the first restart."),
        Key("factor", Owned(Backoff, "factor"), "How much longer each further pause is."),
        Key("max", Owned(Backoff, "max"), "The longest pause, in seconds."),
        Key(
            "attempts",
            Owned(Backoff, "attempts"),
            "How many restarts in a row are tried before the supervisor gives up; null for any"
            " number.",
        ),
        Key("jitter", Owned(Backoff, "jitter"), "Which part of a pause is left to chance."),
    ),
)

_DELIVERY = Owned(StageOptions, "delivery")
_CODEC = Owned(StageOptions, "codec")
_SHARED_MEMORY = Owned(StageOptions, "shared_memory")
_BUSY_POLL = Owned(StageOptions, "busy_poll")
_SCHEDULING = Owned(StageOptions, "scheduling")
_RESTART = Owned(ChildSpec, "restart", _CHILD)
_SHUTDOWN = Owned(ChildSpec, "shutdown", _CHILD)
_START_WITHIN = Owned(ChildSpec, "start_within", _CHILD)
_MAX_DEMAND = Owned(SubscriptionOptions, "max_demand")
_CANCEL = Owned(SubscriptionOptions, "cancel")

_SIGNIFICANT = Owned(ChildSpec, "significant", _CHILD)


class _Supervisors(Rule):
    """The supervisors inside another; they nest to any depth."""

    def _text(self) -> str:
        return "a map of supervisors, by name"

    def _read(self, value: Any, path: Path, report: Report) -> Any:
        return Named(Name(), NESTED, self.text).read(value, path, report)


DYNAMIC = Table(
    "a dynamic supervisor",
    "supervisors.NAME.dynamic",
    (
        Key(
            "max_children",
            Owned(DynamicSupervisorSpec, "max_children", {"name": "any"}),
            "How many children there may be at once; null for no limit.",
        ),
        Key(
            "shards",
            Owned(DynamicSupervisorSpec, "shards", {"name": "any"}),
            "How many parts it has, each with an intensity of its own.",
        ),
    ),
)

NESTED = Table(
    "a supervisor",
    "supervisors.NAME",
    (
        *_RULES,
        Key(
            "restart",
            Owned(SupervisorSpec, "restart", {"name": "any"}),
            "When it is started again itself: when it has given up; also when it has shut down;"
            " never.",
        ),
        Key(
            "significant",
            _SIGNIFICANT,
            "Whether its own end may shut down the supervisor that it is in.",
        ),
        Key("backoff", BACKOFF, "How long its restarts wait.", default="not at all"),
        Key(
            "stages",
            Each(Text("a stage's name"), "a list of stages"),
            "The stages that are its children.",
            default="[]",
        ),
        Key("supervisors", _Supervisors(), "The supervisors that are its children.", default="{}"),
        Key(
            "dynamic",
            DYNAMIC,
            "Makes it a dynamic supervisor, whose children a program starts.",
            default="it is none",
        ),
    ),
)

DEFAULTS = Table(
    "the defaults",
    "defaults",
    (
        Key("delivery", _DELIVERY, "The stages' `delivery`."),
        Key("codec", _CODEC, "The stages' `codec`."),
        Key("shared_memory", _SHARED_MEMORY, "The stages' `shared_memory`."),
        Key("busy_poll", _BUSY_POLL, "The stages' `busy_poll`."),
        Key("scheduling", _SCHEDULING, "The stages' `scheduling`."),
        Key("restart", _RESTART, "The stages' `restart`."),
        Key("shutdown", _SHUTDOWN, "The stages' `shutdown`."),
        Key("start_within", _START_WITHIN, "The stages' `start_within`."),
        Key("max_demand", _MAX_DEMAND, "The subscriptions' `max_demand`."),
        Key("cancel", _CANCEL, "The subscriptions' `cancel`."),
    ),
)

SUBSCRIPTION = Table(
    "a subscription",
    "stages.NAME.subscribe_to[]",
    (
        Key("to", Text("a stage's name"), "The stage to take events from.", required=True),
        Key(
            "max_demand",
            _MAX_DEMAND,
            "How many events may be under way; `auto` starts at 1 and follows the time per event.",
        ),
        Key(
            "min_demand",
            Integer(0, words="an integer from 0 to max_demand - 1"),
            "The consumer asks again when no more than this many are left; it needs `max_demand`.",
            default="half of max_demand",
        ),
        Key(
            "cancel",
            _CANCEL,
            "What the consumer does when the subscription ends: end too, end unless the end was"
            " orderly, or go on.",
        ),
        Key(
            "rate",
            Owned(SubscriptionOptions, "rate"),
            "At most so many events per second; null for no limit.",
        ),
        Key(
            "burst",
            Integer(1),
            "With `rate`: how many may come at once after a quiet time.",
            default="what the rate gives in a tenth of a second",
        ),
        Key(
            "partition",
            Scalar("one of the producer's partitions"),
            "Which partition to take, from a producer that partitions.",
            default="replica 0 takes the first, 1 the second, …",
        ),
        Key(
            "selector",
            Function(),
            "Which events to take, from a producer that broadcasts.",
            default="all",
        ),
        Key(
            "extra",
            Named(
                Text("an option's name"),
                Anything("plain data"),
                "a map of options",
            ),
            "What a dispatcher of your own wants to know of this subscription.",
            default="{}",
        ),
        Key(
            "shared_fate",
            Owned(SubscriptionSpec, "shared_fate", {"consumer": "any", "producer": "any"}),
            "From a stage with members: whose bad ends count for `cancel`; its own and theirs,"
            " nobody's, or (null) its own alone.",
        ),
    ),
)

STAGE = Table(
    "a stage",
    "stages.NAME",
    (
        Key("use", StageClass(), "What runs in the stage's process.", required=True),
        Key(
            "args",
            Named(
                Text("an argument's name"),
                Anything("anything"),
                "a map of the constructor's arguments",
            ),
            "The constructor's keyword arguments.",
            default="{}",
        ),
        Key(
            "replicas",
            Integer(1, at_most=MAX_REPLICAS, usual=1),
            "How many processes of this stage there are.",
        ),
        Key(
            "subscribe_to",
            Each(
                OneOrAnother(
                    "to", SUBSCRIPTION, "a stage's name, or a map with to and its options"
                ),
                "a list of subscriptions",
            ),
            "The stages to take events from; each is a name or a map.",
            default="what the class says",
            kinds=("producer_consumer", "consumer"),
        ),
        Key(
            "members",
            Each(Text("a stage's name"), "a list of stages' names"),
            "The producers that whoever subscribes to this stage is joined with directly.",
            default="none",
            kinds=_EMITTING,
        ),
        Key("restart", _RESTART, "When it is started again: always, after a bad end, or never."),
        Key("shutdown", _SHUTDOWN, "Seconds from being asked to stop until it is killed."),
        Key("start_within", _START_WITHIN, "Seconds from its start until it must be ready."),
        Key("backoff", BACKOFF, "How long its restarts wait.", default="not at all"),
        Key("significant", _SIGNIFICANT, "Whether its end may shut its supervisor down."),
        Key("delivery", _DELIVERY, "What holds for its events when a process dies."),
        Key("codec", _CODEC, "How the events that it emits travel.", kinds=_EMITTING),
        Key(
            "shared_memory",
            _SHARED_MEMORY,
            "How much memory it may share with its consumers, for [large buffers](payloads.md).",
            kinds=_EMITTING,
        ),
        Key(
            "busy_poll",
            _BUSY_POLL,
            "Seconds for which it looks again for messages before it sleeps, while they come soon.",
        ),
        Key(
            "scheduling",
            _SCHEDULING,
            "Whether its process, when woken, waits for its turn or may take another's processor.",
        ),
        Key(
            "dispatcher",
            DispatcherRule(),
            "Who gets which event: whoever has most demand, everyone, or as a function says.",
            kinds=_EMITTING,
        ),
        Key(
            "max_unfinished",
            Owned(StageOptions, "max_unfinished"),
            "How many events one consumer may have that are not finished; null for no limit.",
            kinds=_EMITTING,
        ),
        Key(
            "buffer_size",
            Owned(StageOptions, "buffer_size"),
            "How many emitted events may wait for demand; null for no limit.",
            default="10000 for a producer, null for a producer-consumer",
            kinds=_EMITTING,
        ),
        Key(
            "buffer_keep",
            Owned(StageOptions, "buffer_keep"),
            "Which events survive when the buffer is full.",
            kinds=_EMITTING,
        ),
        Key(
            "when_no_consumers",
            Owned(StageOptions, "when_no_consumers"),
            "What becomes of events emitted while nobody is subscribed or still to come.",
            kinds=_EMITTING,
        ),
        Key(
            "demand",
            Owned(StageOptions, "demand"),
            "Meet demand at once, or hold it until the stage is told to let it flow.",
            kinds=("producer",),
        ),
        Key(
            "on_error",
            OnErrorRule(),
            "What becomes of an event for which `handle_events` raises.",
            kinds=_TAKING,
        ),
        Key(
            "max_deliveries",
            Owned(StageOptions, "max_deliveries"),
            "How often an event is delivered that ends its consumer's life; null for no limit.",
            default="null; 3 where it can be skipped or there are `dead_letters`",
            kinds=_TAKING,
        ),
        Key(
            "poll_interval",
            Owned(StageOptions, "poll_interval"),
            "Seconds after which unmet demand is asked for again; null for never.",
            kinds=("producer",),
        ),
    ),
)

TOPOLOGY = Table(
    "the topology",
    "",
    (
        Key("name", Name(), "The topology's name, in logs and reports.", default="the file's name"),
        Key("supervisor", SUPERVISOR, "How failures are met.", default="{}"),
        Key(
            "supervisors",
            _Supervisors(),
            "Supervisors of some of the stages, with rules of their own; they nest.",
            default="{}",
        ),
        Key(
            "checkpoint",
            Text("the path of a file"),
            "The file that keeps snapshots, so that the same command goes on from the last.",
            default="nothing",
        ),
        Key(
            "permits",
            Named(Name(), Integer(1), "a map of numbers, by name"),
            "How many permits its processes share, by name (`actorflow.permit`).",
            default="{}",
        ),
        Key(
            "dead_letters",
            Text("the path of a file"),
            "The file that events are added to which stages give up, a JSON object per line.",
            default="nothing",
        ),
        Key("defaults", DEFAULTS, "What holds where a stage says nothing itself.", default="{}"),
        Key(
            "stages",
            Named(Name(), STAGE, "a map of at least one stage, by name", at_least=1),
            "The stages, by name.",
            required=True,
        ),
    ),
)


@cache
def stage_option_names() -> tuple[str, ...]:
    """The keys of a stage that are fields of `StageOptions`."""
    return tuple(key.name for key in STAGE.keys if key.name in StageOptions.__dataclass_fields__)
