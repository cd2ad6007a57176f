"""Why things end, as plain data that travels on the wire."""

from __future__ import annotations

from typing import Any

__all__ = [
    "CANCEL_MODES",
    "DONE",
    "NOT_REPLACED",
    "brief",
    "ends_consumer",
    "is_normal",
    "plain",
    "shown",
]

DONE = "done"
"""The reason of a stream that came to its natural end."""

NOT_REPLACED = "not_replaced"
"""What wraps the reason why a replacement was refused: the replaced subscription goes on."""

CANCEL_MODES = ("permanent", "transient", "temporary")


def is_normal(reason: Any) -> bool:
    """Whether a reason is an orderly end: normal, shutdown, ``["shutdown", …]`` or done.

    Example:
        >>> is_normal("shutdown"), is_normal(["shutdown", "deploy"]), is_normal("killed")
        (True, True, False)
    """
    if isinstance(reason, list | tuple):
        return bool(reason) and reason[0] == "shutdown"
    return reason in ("normal", "shutdown", DONE)


def ends_consumer(mode: str, reason: Any) -> bool:
    """Whether a consumer ends because a subscription of this cancel mode ended so (GenStage 1.4).

    Example:
        >>> ends_consumer("transient", "normal"), ends_consumer("transient", "oops")
        (False, True)
    """
    # A refusal may say more: ``["already_subscribed", detail]``.
    name = reason[0] if isinstance(reason, list | tuple) and reason else reason
    if name == "already_subscribed" or mode == "temporary":
        return False
    return mode == "permanent" or not is_normal(reason)


def plain(reason: Any, depth: int = 16) -> Any:
    """A reason as data that any peer can read: text, numbers and lists of them; else its repr.

    Args:
        reason: whatever was given as a reason.
        depth: how deep lists may be nested; what is deeper is cut off.

    Example:
        >>> plain(("shutdown", "deploy")), plain(ValueError("no"))
        (['shutdown', 'deploy'], "ValueError('no')")
    """
    if reason is None or type(reason) in (str, bool, float):
        return reason
    if type(reason) is int and -(1 << 63) <= reason < 1 << 63:
        return reason
    if isinstance(reason, list | tuple):
        return [plain(item, depth - 1) for item in reason] if depth else "…"
    return shown(reason)


def shown(value: object) -> str:
    """The repr of a value; never raises, whatever the value's own `__repr__` does.

    Example:
        >>> shown([1])
        '[1]'
    """
    try:
        return repr(value)
    except Exception as error:  # noqa: BLE001  (it runs the value's own code)
        return f"<{type(value).__qualname__}, whose repr raised {type(error).__name__}>"


def brief(value: object, at_most: int = 200) -> str:
    """The beginning of a value's repr, for a message about it; never raises.

    Args:
        value: what the message is about.
        at_most: how many characters it may take, from 1.

    Example:
        >>> brief("a" * 1000, 10)
        "'aaaaaaaa…"
    """
    text = shown(value)
    return text if len(text) <= at_most else text[: at_most - 1] + "…"
