"""What the supervisor tells a stage on its control link: orders, calls, casts, infos, verdicts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from actorflow.errors import OptionError, ProtocolError, Refused
from actorflow.protocol import control
from actorflow.protocol.codec import decode_value
from actorflow.protocol.identity import Incarnation
from actorflow.protocol.messages import Call, Cast, Down, Info, Message
from actorflow.protocol.rate import RateLimit
from actorflow.protocol.reasons import DONE
from actorflow.stage.asking import PROGRAM
from actorflow.stage.calls import Sender, answer_system_call
from actorflow.stage.link_counters import ProducerMeter
from actorflow.stage.work import Port

if TYPE_CHECKING:
    from actorflow.stage.callbacks import Callbacks
    from actorflow.stage.machine import StageMachine

__all__ = ["Orders"]

_ABOUT_SUBSCRIPTIONS = (
    control.Link,
    control.Expect,
    control.ExpectNoMore,
    control.ProducerFinished,
    control.CancelSubscription,
    control.PauseSubscription,
    control.SetRate,
    control.Draining,
)


_ABOUT_DEAD_CONSUMERS = (
    control.Acknowledged,
    control.EdgeSettled,
    control.Suspect,
    control.Buried,
)


class Orders:
    """Takes a supervisor's messages for one machine.

    Args:
        machine: who is to obey.
        callbacks: its queue of callbacks.
        port: the driver's, for links and replies.
    """

    def __init__(self, machine: StageMachine, callbacks: Callbacks, port: Port) -> None:
        self._machine = machine
        self._callbacks = callbacks
        self._port = port

    def take(self, message: Message) -> None:
        """Do what a message from the supervisor says.

        Raises:
            ProtocolError: it is none that a supervisor sends, or it breaks a rule.
        """
        if isinstance(message, Down):
            self._peer_down(message)
        elif isinstance(message, Cast) and message.scope == control.SYSTEM:
            self._obey(control.decode_control(message))
        elif isinstance(message, Call):
            self._called(message, Sender(message.ref, self._port))
        elif isinstance(message, Cast):
            self._callbacks.cast(decode_value(message.codec, message.body))
        elif isinstance(message, Info):
            self._machine.info(decode_value(message.codec, message.body))
        else:
            raise ProtocolError("unknown_message", f"{type(message).__name__} from the supervisor")

    def _called(self, message: Call, sender: Sender) -> None:
        """A caller waits: whatever is wrong with the request, it gets an answer."""
        try:
            request = decode_value(message.codec, message.body)
            if message.scope == control.SYSTEM:
                answer_system_call(self._machine, request, sender)
            else:
                self._callbacks.call(request, sender)
        except ProtocolError as error:
            sender.fail(error)
            raise

    def _obey(self, record: control.Control) -> None:
        machine = self._machine
        if isinstance(record, _ABOUT_SUBSCRIPTIONS):
            self._relate(record)
        elif isinstance(record, control.SetDemand):
            self._set_demand(record.mode)
        elif isinstance(record, control.Finish):
            machine.begin_finish(DONE)
        elif isinstance(record, control.Retire):
            machine.retire(successor=record.successor)
        elif isinstance(record, control.Replicas):
            machine.count_replicas(record.count)
        elif isinstance(record, control.Stop):
            machine.stop(record.reason)
        elif isinstance(record, control.SnapshotStored):
            machine.snapshot_stored(record.number)
        elif isinstance(record, control.DeadLetterKept):
            machine.dead_letter_kept(record.number)
        elif isinstance(record, _ABOUT_DEAD_CONSUMERS):
            self._settle(record)
        else:
            raise ProtocolError("unknown_message", f"{record!r} is not for a stage")

    def _settle(self, record: control.Control) -> None:
        """Take note of what a consumer that is gone had finished, and what it had in hand."""
        half = self._machine.producer_half()
        if isinstance(record, control.Acknowledged):
            half.subscribers.acknowledged(record.ref, record.seq)
        elif isinstance(record, control.EdgeSettled):
            half.edge_settled(record.edge, record.events)
        elif isinstance(record, control.Suspect):
            half.subscribers.suspect(record.ref, record.seq, record.failure)
        else:
            assert isinstance(record, control.Buried)
            half.subscribers.buried(record.ref, record.seq)

    def _relate(self, record: control.Control) -> None:
        """Obey what is about subscriptions."""
        machine = self._machine
        if isinstance(record, control.Link):
            self._linked(record)
        elif isinstance(record, control.Expect):
            if machine.consuming is not None:
                machine.consuming.upstream.expect(record.producers)
            if machine.producing is not None:
                machine.producing.expect_edges(record.edges)
                machine.producing.subscribers.expect(record.consumers)
        elif isinstance(record, control.ExpectNoMore):
            machine.consumer_half().upstream.expect_no_more(record.producers)
        elif isinstance(record, control.ProducerFinished):
            self._producer_finished(record)
        elif isinstance(record, control.CancelSubscription):
            half = machine.consumer_half().upstream
            half.cancel(record.ref, record.reason, replaced=record.replaced)
        else:
            self._hold(record)

    def _hold(self, record: control.Control) -> None:
        """Obey what is about when a subscription asks."""
        half = self._machine.consumer_half()
        if isinstance(record, control.Draining):
            half.asking.drain()
            return
        assert isinstance(record, control.PauseSubscription | control.SetRate)
        if isinstance(record, control.SetRate):
            try:
                limit = RateLimit.of(record.rate, record.burst)
            except OptionError as error:
                raise ProtocolError("bad_option", str(error)) from error
            half.asking.set_rate(record.ref, limit, by=PROGRAM)
        elif record.paused:
            half.asking.pause(record.ref, PROGRAM)
        else:
            half.asking.resume(record.ref, PROGRAM)

    def _linked(self, record: control.Link) -> None:
        self._port.open(record.ref)
        try:
            if record.role == "consumer":
                self._machine.consumer_half().upstream.open(record)
            elif record.role == "producer":
                self._machine.peers[record.ref] = Incarnation.parse(record.peer)
                self._count(record)
            else:
                raise OptionError("role", "producer or consumer", record.role)
        except ProtocolError:
            self._port.close(record.ref)
            raise
        except ValueError as error:
            self._port.close(record.ref)
            raise ProtocolError("bad_link", str(error)) from error

    def _count(self, record: control.Link) -> None:
        """Have what is sent on a link to a consumer counted, from its subscription on."""
        half = self._machine.producing
        slot = self._port.link_counters(record.place, record.role)
        if half is not None and slot is not None:
            half.outgoing.meters[record.ref] = ProducerMeter(slot)

    def _producer_finished(self, record: control.ProducerFinished) -> None:
        try:
            self._machine.consumer_half().upstream.producer_finished(record)
        except ValueError as error:
            raise ProtocolError("bad_link", str(error)) from error

    def _set_demand(self, mode: str) -> None:
        try:
            self._machine.set_demand(mode)
        except (OptionError, Refused) as error:
            raise ProtocolError("bad_option", str(error)) from error

    def _peer_down(self, message: Down) -> None:
        machine = self._machine
        try:
            peer = Incarnation.parse(message.who)
        except ValueError as error:
            raise ProtocolError("bad_name", f"{message.who!r} is no incarnation") from error
        links = [link for link, each in machine.peers.items() if each == peer]
        if machine.consuming is not None:
            links += machine.consuming.upstream.links_to(peer)
        for link in links:
            self._port.drain(link)
        restarting = message.restarting
        if machine.producing is not None:
            machine.producing.subscribers.peer_down(peer, message.reason, restarting=restarting)
        if machine.consuming is not None:
            machine.consuming.upstream.peer_down(peer, message.reason, restarting=restarting)
