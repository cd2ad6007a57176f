"""The checker: watches a simulated run and asks every law after every step."""

from __future__ import annotations

from collections.abc import Iterable

from actorflow.protocol.messages import Ask, Route, RouteEos
from actorflow.protocol.reasons import DONE
from actorflow.runtime.simulated.process import SimulatedProcess
from actorflow.runtime.simulated.setting import Life
from actorflow.runtime.simulated.witness import Witness
from actorflow.stage.callbacks import HANDLE_EVENTS, HANDLED
from actorflow.stage.counters import Counter
from actorflow.stage.failing import Failed
from actorflow.stage.work import CONTROL_LINK, Work
from actorflow.testing import laws
from actorflow.testing.laws import Base, LawBroken
from actorflow.testing.ledger import Flow, Ledger

__all__ = ["Checker"]


class Checker(Witness):
    """Keeps a ledger of every subscription and compares it with the stages' own books.

    A step changes one stage; so after each step the laws of that stage and of its subscriptions are
    asked. The first that does not hold ends the run with `LawBroken`.

    Example:
        >>> from actorflow.runtime.simulated.world import World
        >>> world = World(seed=1, witness=Checker())
    """

    def __init__(self) -> None:
        self.ledger = Ledger()
        self._bases: dict[SimulatedProcess, Base] = {}
        self._unplaced: dict[SimulatedProcess, list[tuple[Flow, int]]] = {}

    # --- what happens -----------------------------------------------------------------------------

    def sent(self, process: SimulatedProcess, link: int, frame: bytes) -> None:
        """Enter it; what may be said at this moment is checked now."""
        if link == CONTROL_LINK:
            return
        flow, entry = self.ledger.sent(process, frame[4:])
        message = entry.message
        if isinstance(message, Route):
            self._judge("never more than asked", laws.never_more_than_asked(flow))
            if flow.end_sent:
                self._break("nothing after the end", f"ref {flow.ref}: batch {message.seq}")
        elif isinstance(message, Ask):
            machine = process.machine
            self._place_outputs(process)
            half = None if machine is None else machine.producing
            verdicts = laws.acknowledged_is_finished(flow, message.acked, half)
            self._judge("acknowledged is finished", verdicts)
        elif isinstance(message, RouteEos) and message.reason == DONE:
            self._judge("the end comes last", _unsent(process))

    def received(self, process: SimulatedProcess, link: int, frame: bytes) -> None:
        """A link delivers what was sent, whole and in order."""
        if link != CONTROL_LINK and self.ledger.received(process, link, frame) is None:
            self._break("first in, first out", f"ref {link}: {process} received {frame!r}")

    def begins(self, process: SimulatedProcess, work: Work) -> None:
        """The end of a subscription is handled after its last event."""
        if work.label != "handle_cancel":
            return
        handle = work.args[1]
        flow = self.ledger.flows.get(handle.ref)
        lost = process.counters[Counter.LOST]  # what waited for demand that nobody has (B20)
        if flow is not None and handle.side == "producer" and flow.handled + lost < flow.received:
            counts = f"{flow.handled} of {flow.received} events handled"
            self._break("the end comes last", f"ref {flow.ref}: {counts}")

    def finishes(self, process: SimulatedProcess, work: Work, result: object) -> None:
        """Events count as handled when their callback has returned."""
        if work.label not in (HANDLE_EVENTS, HANDLED) or isinstance(result, Failed):
            return
        flow = self.ledger.flow(work.args[1].ref)
        for seq in self.ledger.handled(flow.ref, len(work.args[0])):
            if process.machine is not None and process.machine.producing is not None:
                self._unplaced.setdefault(process, []).append((flow, seq))

    def died(self, process: SimulatedProcess) -> None:
        """Its accounts are closed."""
        self.ledger.died(process)
        self._unplaced.pop(process, None)

    def acted(self, process: SimulatedProcess) -> None:
        """Ask every law that the step could have broken."""
        machine = process.machine
        if machine is None or process.life is not Life.ALIVE:
            return
        base = self._bases.get(process)
        if base is None:
            base = self._bases[process] = _base(process)
        self._place_outputs(process)
        stopping = machine.stopping
        half = machine.producing
        if half is not None and not stopping:
            self._judge(
                "the dispatcher is consistent", laws.dispatcher_is_consistent(half.dispatcher)
            )
            self._judge("the buffer is consistent", laws.buffer_is_consistent(half.buffer))
            self._judge("demand is released", laws.demand_is_released(machine))
            self._judge("what is forwarded is asked", laws.forwarded_is_asked(machine))
            self._judge("the store is contiguous", laws.store_is_contiguous(half))
            evaporated = laws.no_event_evaporates(process, self.ledger, base)
            self._judge("no event evaporates", evaporated)
        for flow in self.ledger.of(process):
            self._judge("never more than asked", laws.never_more_than_asked(flow))
            self._judge("counters agree", laws.counters_agree(flow, process))
            if flow.ended or _stopping(flow.producer) or _stopping(flow.consumer):
                continue
            self._judge("credit is conserved", laws.credit_is_conserved(flow))
            if flow.consumer is process and machine.consuming is not None:
                self._judge("the window holds", laws.window_holds(flow, machine.consuming))

    # --- within -----------------------------------------------------------------------------------

    def _place_outputs(self, process: SimulatedProcess) -> None:
        """The machine has taken the results by now: note where each handled batch's outputs end."""
        unplaced = self._unplaced.pop(process, None)
        if unplaced and process.machine is not None and process.machine.producing is not None:
            for flow, seq in unplaced:
                flow.outputs[seq] = process.machine.producing.emitted

    def _judge(self, law: str, problems: Iterable[str]) -> None:
        for problem in problems:
            self._break(law, problem)

    def _break(self, law: str, detail: str) -> None:
        if self.verdict is None:
            self.verdict = LawBroken(law, detail)


def _base(process: SimulatedProcess) -> Base:
    counters = process.counters
    return Base(counters[Counter.ACKNOWLEDGED], counters[Counter.DISCARDED])


def _stopping(process: SimulatedProcess | None) -> bool:
    """Whether a stage lets go of what it has in hand, which is then delivered again."""
    return process is not None and process.machine is not None and process.machine.stopping


def _unsent(process: SimulatedProcess) -> Iterable[str]:
    """What a producer has not sent, or not seen finished, at the moment when it says it is done."""
    half = None if process.machine is None else process.machine.producing
    if half is None:
        return
    if half.buffer.count or half.dispatcher.queued:
        yield f"{process} is done with {half.buffer.count + half.dispatcher.queued} events unsent"
