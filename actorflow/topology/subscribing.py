"""The subscriptions of a run: made, replaced, held back and ended while it runs."""

from __future__ import annotations

from typing import Any

from actorflow.protocol.arguments import (
    check_instance,
    check_integer,
    check_text,
)
from actorflow.protocol.control import SYSTEM
from actorflow.protocol.demand import SubscriptionOptions
from actorflow.supervision import operations, subscriptions
from actorflow.topology.part import CALL_TIMEOUT, RunPart

__all__ = ["RunningSubscriptions"]


class RunningSubscriptions(RunPart):
    """The part of a `Run` that is about its subscriptions."""

    def subscribe(
        self,
        consumer: str,
        *,
        to: str,
        options: SubscriptionOptions | None = None,
        shared_fate: bool | None = None,
        timeout: float = CALL_TIMEOUT,
    ) -> int:
        """Subscribe one running stage to another, and wait until the producer has accepted.

        Args:
            consumer: the stage that takes events.
            to: the stage that gives them.
            options: demand, cancel mode and what the dispatcher wants.
            shared_fate: for a stage with members, whose bad ends count (see `SubscribeTo`).
            timeout: seconds to wait for the producer's answer.

        Returns:
            the subscription's ref.

        Raises:
            Refused: with the reason, such as ``not_a_producer`` or ``already_subscribed``.
        """
        if shared_fate is not None:
            check_instance("shared_fate", shared_fate, bool)
        if options is not None:
            check_instance("options", options, SubscriptionOptions)
        chosen = options if options is not None else SubscriptionOptions()
        return self._supervisor.act(
            lambda core: operations.subscribe(core, consumer, to, chosen, shared_fate), timeout
        )

    def resubscribe(
        self,
        ref: int,
        *,
        to: str | None = None,
        options: SubscriptionOptions | None = None,
        reason: Any = "normal",
        consumer: str | None = None,
        timeout: float = CALL_TIMEOUT,
    ) -> int:
        """Replace a subscription by another one of the same consumer, and wait until that is done.

        No event is lost or repeated by it, and the old subscription's cancel mode does not apply.
        On the same producer the change is one step there, and events stay in order. Another
        producer has accepted before the old subscription is ended. When the new one is refused the
        old one goes on as it was.

        Args:
            ref: the subscription to replace.
            to: the stage that gives events from now on; None for the same as before.
            options: the new subscription's; None for the same as before.
            reason: what both sides' `handle_cancel` gets for the old subscription.
            consumer: whose subscription it is. When this is given, a ref that is not known (the
                subscription has ended, say) is no error: then this is a plain `subscribe`.
            timeout: seconds to wait for the producer's answer.

        Returns:
            the new subscription's ref.

        Raises:
            Refused: with the reason: ``unknown_subscription``, or as for `subscribe`.

        Source: GenStage's ``sync_resubscribe``.

        Example::

            ref = run.subscribe("sink", to="numbers")
            ref = run.resubscribe(ref, options=SubscriptionOptions(max_demand=100))
        """
        for option, name in (("to", to), ("consumer", consumer)):
            if name is not None:
                check_text(option, name, "a stage's name")
        check_integer("ref", ref)
        if options is not None:
            check_instance("options", options, SubscriptionOptions)
        return self._supervisor.act(
            lambda core: subscriptions.resubscribe(
                core, ref, to=to, options=options, reason=reason, consumer=consumer
            ),
            timeout,
        )

    def pause(self, ref: int) -> None:
        """Have a consumer ask for nothing more on a subscription until `resume`.

        What was asked for before still comes and is handled: at most ``max_demand`` events. The
        pause outlives restarts of both stages. A drain lifts it, so that what is under way can be
        processed. A pause by the stage itself (`actorflow.Consumer.pause`) is another one.

        Args:
            ref: the subscription, as `subscribe` or `which_subscriptions` gave it; it may have been
                made again since.

        Raises:
            Refused: ``unknown_subscription``, or ``draining``.

        Example::

            (row,) = run.which_subscriptions("sink")
            run.pause(row.ref)
        """
        self._supervisor.act(lambda core: subscriptions.pause(core, ref), CALL_TIMEOUT)

    def resume(self, ref: int) -> None:
        """Lift a pause that the program has made; nothing happens when there is none.

        Raises:
            Refused: ``unknown_subscription``.
        """
        self._supervisor.act(lambda core: subscriptions.resume(core, ref), CALL_TIMEOUT)

    def set_rate(self, ref: int, rate: float | None, burst: int | None = None) -> None:
        """Limit how many events a subscription takes in a time; it holds over restarts too.

        Args:
            ref: the subscription.
            rate: events per second, above 0; None for no limit.
            burst: how many may come at once after a quiet time, from 1; the default is what the
                rate gives in a tenth of a second.

        Raises:
            OptionError: a value breaks its rule.
            Refused: ``unknown_subscription``.

        Example::

            run.set_rate(ref, 100, burst=10)
        """
        self._supervisor.act(
            lambda core: subscriptions.set_rate(core, ref, rate, burst), CALL_TIMEOUT
        )

    def which_subscriptions(self, stage: str | None = None) -> list[subscriptions.SubscriptionInfo]:
        """A row for each subscription: ref, consumer, producer, state, options, paused.

        Args:
            stage: only those of this stage, on either side.
        """
        return self._supervisor.act(
            lambda core: subscriptions.which_subscriptions(core, stage), CALL_TIMEOUT
        )

    def cancel(self, ref: int, reason: Any = "normal") -> None:
        """End a subscription; its cancel mode decides what that does to its consumer."""
        self._supervisor.act(lambda core: operations.cancel(core, ref, reason), CALL_TIMEOUT)

    def set_demand(self, stage: str, mode: str) -> None:
        """Let a producer ``"accumulate"`` or ``"forward"`` demand."""
        self._supervisor.act(lambda core: operations.set_demand(core, stage, mode), CALL_TIMEOUT)

    def demand(self, stage: str) -> str:
        """A stage's demand mode; a stage that is no producer says ``"forward"`` (B7)."""
        mode = self._supervisor.act(
            lambda core: operations.call(core, stage, "demand", scope=SYSTEM), CALL_TIMEOUT
        )
        return str(mode)
