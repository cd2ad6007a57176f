"""The word that nothing more comes: from a stage's producers, to it, to its consumers. Pure.

A producer says its end only when everything is acknowledged. So a stage that holds events back to
put them together would wait for more, and its producer for it. Therefore a producer that has come
to its end says before that all is sent; whoever has then nothing to wait for lets go of what it
holds, and hands the word on. It is true until more comes, and then it is said again.
"""

from __future__ import annotations

from collections.abc import Callable

from actorflow.stage.consuming import ConsumingHalf
from actorflow.stage.producing import ProducingHalf

__all__ = ["Flushing"]


class Flushing:
    """Who is told, and who knows.

    Args:
        consuming: where events come from, or None for a producer.
        producing: where they go, or None for a consumer.
        call: have the behaviour's `on_flush` called; None when it has none of its own.
    """

    __slots__ = ("_call", "_consuming", "_producing", "_told")

    def __init__(
        self,
        consuming: ConsumingHalf | None,
        producing: ProducingHalf | None,
        call: Callable[[], None] | None,
    ) -> None:
        self._consuming = consuming
        self._producing = producing
        self._call = call
        self._told: dict[int, int] = {}
        """What had come on each subscription when the behaviour was told."""

    def at_last(self) -> bool:
        """Whether the producers have sent all that they will."""
        return self._consuming is not None and self._consuming.upstream.at_last

    def behaviour_told(self) -> bool:
        """Have `on_flush` called, unless it was, and nothing has come since."""
        if self._call is None or self._consuming is None:
            return True
        subscriptions = self._consuming.subscriptions.values()
        if all(each.received == self._told.get(each.ref, 0) for each in subscriptions):
            return True
        self._told = {each.ref: each.received for each in subscriptions}
        self._call()
        return False

    def tell_consumers(self, *, finishing: bool) -> None:
        """Say that everything is sent, if it is, unless the end itself follows at once.

        One that has nothing under way says it too: its consumers may hold what others have sent.
        """
        half = self._producing
        if half is not None and half.all_sent and not (finishing and half.flushed):
            half.outgoing.send_last()
