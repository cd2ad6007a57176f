"""From a dispatcher's description, as an option gives it, to the dispatcher."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from typing import Any

from actorflow.dispatch.base import Dispatcher
from actorflow.dispatch.broadcast import BroadcastDispatcher
from actorflow.dispatch.demand import DemandDispatcher
from actorflow.dispatch.partition import PartitionDispatcher
from actorflow.errors import OptionError

__all__ = ["DISPATCHERS", "build_dispatcher"]

DISPATCHERS: dict[str, Callable[..., Dispatcher]] = {
    "demand": DemandDispatcher,
    "broadcast": BroadcastDispatcher,
    "partition": PartitionDispatcher,
}


def build_dispatcher(description: str | Mapping[str, Any] | Dispatcher) -> Dispatcher:
    """The dispatcher that a ``dispatcher`` option describes.

    Args:
        description: a name, or a map from one name to the dispatcher's options.

    Raises:
        OptionError: an unknown name or option, or a bad value.

    Example:
        >>> build_dispatcher({"partition": {"partitions": 2}}).capacity
        0
    """
    if isinstance(description, Dispatcher):
        return description
    name, options = _name_and_options(description)
    if name not in DISPATCHERS:
        near = difflib.get_close_matches(str(name), DISPATCHERS, 1)
        hint = f"did you mean {near[0]}?" if near else ""
        raise OptionError("dispatcher", "one of " + ", ".join(DISPATCHERS), name, hint)
    try:
        return DISPATCHERS[name](**options)
    except TypeError as error:
        raise OptionError("dispatcher", f"{name} with its options", options, str(error)) from error


def _name_and_options(description: object) -> tuple[Any, dict[str, Any]]:
    if isinstance(description, str):
        return description, {}
    if isinstance(description, Mapping) and len(description) == 1:
        ((name, options),) = description.items()
        if options is None:
            return name, {}
        if isinstance(options, Mapping):
            return name, dict(options)
    rule = "a name, or a map of one name to its options"
    raise OptionError("dispatcher", rule, description)
