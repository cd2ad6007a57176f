"""A stage's logger: structlog in front, the control link behind."""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from typing import Any

import structlog

__all__ = ["stage_logger"]

Relay = Callable[[str, str, dict[str, Any]], None]


class _Relayed:
    """What structlog takes for a logger; it is never called, the last processor has dropped all."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *args, **kwargs: None


def stage_logger(relay: Relay) -> Any:
    """A structlog logger whose lines go to `relay` as level, event and values.

    Example:
        >>> log = stage_logger(lambda level, event, values: print(level, event, values))
        >>> log.bind(path="a").warning("skipped", size=0)
        warning skipped {'path': 'a', 'size': 0}
    """

    def ship(logger: Any, method: str, event_dict: MutableMapping[str, Any]) -> str:
        event = str(event_dict.pop("event", ""))
        relay(method, event, dict(event_dict))
        raise structlog.DropEvent

    return structlog.wrap_logger(
        _Relayed(),
        processors=[structlog.processors.format_exc_info, ship],
        wrapper_class=structlog.make_filtering_bound_logger(0),
        context_class=dict,
        cache_logger_on_first_use=False,
    )
