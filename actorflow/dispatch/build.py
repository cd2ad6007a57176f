"""From a dispatcher's description, as an option gives it, to the dispatcher."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from functools import lru_cache
from importlib import import_module
from typing import Any

from actorflow.dispatch.base import Dispatcher
from actorflow.dispatch.broadcast import BroadcastDispatcher
from actorflow.dispatch.demand import DemandDispatcher
from actorflow.dispatch.partition import PartitionDispatcher
from actorflow.dispatch.ready import ReadyDispatcher
from actorflow.errors import OptionError
from actorflow.protocol.failure import Failure

__all__ = ["DISPATCHERS", "build_dispatcher", "dispatcher_class"]

DISPATCHERS: dict[str, type[Dispatcher]] = {
    "demand": DemandDispatcher,
    "broadcast": BroadcastDispatcher,
    "partition": PartitionDispatcher,
    "ready": ReadyDispatcher,
}

_RULE = (
    "one of " + ", ".join(DISPATCHERS) + ", or a class of your own, as it is or as 'module:Class'"
)

_signature = lru_cache(inspect.signature)
"""A topology of thousands of stages has few kinds of dispatchers."""


def build_dispatcher(description: object) -> Dispatcher:
    """The dispatcher that a ``dispatcher`` option describes.

    Args:
        description: a name; the ``module:Class`` of a dispatcher of one's own; its class; a map
            from one of these to the constructor's keyword arguments; or a dispatcher.

    Raises:
        OptionError: an unknown name or option, a class that is none, or a bad value.

    Example:
        >>> build_dispatcher({"partition": {"partitions": 2}}).capacity
        0
        >>> build_dispatcher("actorflow.dispatch.demand:DemandDispatcher").capacity
        0
    """
    if isinstance(description, Dispatcher):
        return description
    named, options = _name_and_options(description)
    kind = dispatcher_class(named)
    label = named if isinstance(named, str) else kind.__qualname__
    try:
        _signature(kind).bind(**options)
    except TypeError as error:
        # It says which argument is missing or unknown.
        rule = f"{label} with its options"
        raise OptionError("dispatcher", rule, options, str(error)) from None
    except ValueError:
        pass  # a constructor written in C may not tell; then calling it will
    try:
        return kind(**options)
    except OptionError:
        raise
    except Exception as error:
        # Whatever somebody's constructor raises.
        said = Failure.of(error).summary
        raise OptionError("dispatcher", f"{label} with its options", options, said) from error


def dispatcher_class(named: object) -> type[Dispatcher]:
    """The class of dispatchers that a name, a ``module:Class`` or a class means.

    Raises:
        OptionError: it is none of them, cannot be imported, or is no subclass of `Dispatcher`.
    """
    found: object = named
    if isinstance(named, str):
        if named in DISPATCHERS:
            return DISPATCHERS[named]
        if ":" not in named:
            import difflib

            near = difflib.get_close_matches(named, DISPATCHERS, 1)
            hint = f"did you mean {near[0]}?" if near else ""
            raise OptionError("dispatcher", _RULE, named, hint)
        found = _imported(named)
    elif not isinstance(named, type):
        raise OptionError("dispatcher", _RULE, named)
    if not isinstance(found, type) or not issubclass(found, Dispatcher):
        raise OptionError("dispatcher", "a subclass of actorflow.Dispatcher", found)
    missing = ", ".join(sorted(getattr(found, "__abstractmethods__", ())))
    if missing:
        hint = f"it does not define {missing}"
        raise OptionError("dispatcher", "a class that defines every method", found, hint)
    return found


def _imported(target: str) -> object:
    module, _, name = target.partition(":")
    try:
        found: object = import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except Exception as error:  # an empty name, or whatever the module does when it is imported
        raise OptionError("dispatcher", "'module:Class'", target, str(error)) from error
    return found


def _name_and_options(description: object) -> tuple[object, dict[str, Any]]:
    if isinstance(description, str | type):
        return description, {}
    if isinstance(description, Mapping) and len(description) == 1:
        ((name, options),) = description.items()
        if options is None:
            return name, {}
        if isinstance(options, Mapping) and all(isinstance(key, str) for key in options):
            return name, dict(options)
    rule = "a name or a class, or a map of one of them to its options"
    raise OptionError("dispatcher", rule, description)
