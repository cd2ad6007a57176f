"""What a consumer says when it subscribes, beside its user's options, and the check of those."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

from actorflow.errors import OptionError, ProtocolError
from actorflow.protocol.demand import SubscriptionOptions
from actorflow.protocol.identity import Incarnation
from actorflow.protocol.messages import VERSION
from actorflow.records import dataclass

__all__ = ["Claim", "read_options"]


@dataclass(frozen=True, slots=True)
class Claim:
    """What a consumer says of itself when it subscribes, beside its user's options.

    Args:
        peer: the consumer.
        durable: whether it takes any.
        wants_last: whether it is to be told when nothing more is emitted.
        edge: the subscription's name over restarts, as the consumer gave it.
        resume: how many of that edge's events its last snapshot reflects, as the consumer gave it.
    """

    peer: Incarnation
    durable: bool
    wants_last: bool = False
    edge: Any = None
    resume: Any = None

    @classmethod
    def taken_from(cls, options: dict[str, Any], peer: Incarnation) -> Claim:
        """Take them out of the options of a subscribe message."""
        return cls(
            peer,
            durable=options.pop("durable", False) is True,
            wants_last=options.pop("wants_last", False) is True,
            edge=options.pop("edge", None),
            resume=options.pop("resume", None),
        )


def read_options(options: MutableMapping[str, Any]) -> SubscriptionOptions:
    """A subscription's options from the wire; the version is taken out of them.

    Raises:
        ProtocolError: they break a rule.
    """
    version = options.pop("version", VERSION)
    if version != VERSION:
        detail = f"this stage speaks version {VERSION}, got {version!r}"
        raise ProtocolError("unsupported_version", detail)
    try:
        return SubscriptionOptions.from_wire(options)
    except OptionError as error:
        raise ProtocolError("bad_option", str(error)) from error
