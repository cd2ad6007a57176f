"""When a run cannot go on: the errors that say so, and what each stage and link was doing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from actorflow.errors import ProtocolError, RunError
from actorflow.protocol.wire import decode
from actorflow.records import dataclass
from actorflow.runtime.simulated.channel import Channel
from actorflow.runtime.simulated.process import SimulatedProcess

if TYPE_CHECKING:
    from actorflow.runtime.simulated.world import World

__all__ = ["Endless", "Evidence", "LinkEvidence", "StageEvidence", "Stalled", "evidence"]

LAST_STEPS = 20


@dataclass(frozen=True, slots=True)
class StageEvidence:
    """What a stage was doing.

    Args:
        stage: its incarnation.
        life: whether its process is alive or leaving.
        doing: the callback that runs, or the gate that it waits at, or nothing.
        waits: for whom it waits and why, one sentence each.
        status: the stage machine's own account.
    """

    stage: str
    life: str
    doing: str
    waits: tuple[str, ...]
    status: dict[str, Any]


@dataclass(frozen=True, slots=True)
class LinkEvidence:
    """What was under way from one process to another.

    Args:
        name: who writes to whom.
        ref: the subscription, 0 for a control link.
        outbox: bytes that the writer has not written yet.
        in_pipe: bytes that the reader has not read yet.
        frames: the last frames that were written, decoded.
    """

    name: str
    ref: int
    outbox: int
    in_pipe: int
    frames: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Evidence:
    """Who waits for whom, what each link holds, and the last steps of the run.

    `str` gives a report for a person.

    Example:
        >>> evidence = Evidence((), (), ("count/0 handles 3 events",), seed=7, conditions="quiet")
        >>> print(evidence)
        seed 7, quiet
        stages:
        links:
        last steps:
          count/0 handles 3 events
    """

    stages: tuple[StageEvidence, ...]
    links: tuple[LinkEvidence, ...]
    steps: tuple[str, ...]
    seed: int
    conditions: str

    def __str__(self) -> str:
        lines = [f"seed {self.seed}, {self.conditions}", "stages:"]
        for stage in self.stages:
            lines.append(f"  {stage.stage} ({stage.life}) {stage.doing}".rstrip())
            lines += [f"    waits {sentence}" for sentence in stage.waits]
            lines.append(f"    {stage.status}")
        lines.append("links:")
        for link in self.links:
            waiting = f"outbox {link.outbox} B, pipe {link.in_pipe} B"
            lines.append(f"  ref {link.ref} {link.name}: {waiting}")
            lines += [f"    {frame}" for frame in link.frames]
        lines += ["last steps:", *(f"  {step}" for step in self.steps)]
        return "\n".join(lines)


class Stalled(RunError):
    """Nothing can happen any more and the run is not over: it hangs. `evidence` says where."""

    def __init__(self, summary: str, evidence: Evidence) -> None:
        super().__init__(f"{summary}\n{evidence}")
        self.summary = summary
        self.evidence = evidence

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.summary, self.evidence)


class Endless(Stalled):
    """The run was given up after too many steps: it goes round in circles, or is just long."""


def evidence(world: World) -> Evidence:
    """What a world looks like at this moment.

    Example:
        >>> from actorflow.runtime.simulated.world import World
        >>> evidence(World(seed=3)).seed
        3
    """
    processes = world.processes
    return Evidence(
        stages=tuple(_stage(process) for process in processes),
        links=tuple(_link(channel) for process in processes for channel in process.ends.writing()),
        steps=tuple(str(step) for step in list(world.trace)[-LAST_STEPS:]),
        seed=world.seed,
        conditions=str(world.conditions),
    )


def _stage(process: SimulatedProcess) -> StageEvidence:
    machine = process.machine
    doing = "" if process.work is None else f"in {process.work.label}"
    if process.parked is not None:
        doing += f" at gate {process.parked}"
    return StageEvidence(
        stage=str(process),
        life=process.life.name.lower(),
        doing=doing,
        waits=tuple(_waits(process)),
        status={} if machine is None else machine.status(),
    )


def _waits(process: SimulatedProcess) -> list[str]:
    machine = process.machine
    if machine is None:
        return ["for the supervisor"]
    sentences = []
    if machine.consuming is not None:
        for incoming in machine.consuming.subscriptions.values():
            window = incoming.automatic
            limit = f"{window.outstanding} of {window.max_demand}"
            asked = "by hand" if incoming.manual else limit
            asked += f", {incoming.owed} held" if incoming.owed else ""
            sentences.append(
                f"for events of {incoming.handle.peer} on ref {incoming.ref}: asked {asked},"
                f" {incoming.open_batches} batches unfinished, ended {incoming.ended}"
            )
        if machine.consuming.inbound:
            sentences.append("for demand, with messages in hand")
    if machine.producing is not None:
        half = machine.producing
        for outgoing in half.subscriptions.values():
            credit = half.dispatcher.outstanding(outgoing.ref)
            sentences.append(
                f"for demand of {outgoing.handle.peer} on ref {outgoing.ref}: credit {credit},"
                f" {outgoing.store.count} unacknowledged, {outgoing.state.name.lower()}"
            )
    return sentences or ["for a subscription"]


def _link(channel: Channel) -> LinkEvidence:
    frames = tuple(_shown(frame[4:]) for frame in channel.recent)
    return LinkEvidence(channel.name, channel.link, channel.outbox, channel.in_pipe, frames)


def _shown(data: bytes) -> str:
    try:
        text = str(decode(data))
    except ProtocolError as error:
        text = f"{error}: {data!r}"
    return text if len(text) <= 200 else text[:197] + "…"
