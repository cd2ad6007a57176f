"""The class of a stage: importing it, what kind it is, and whether the arguments fit it."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any

from actorflow.errors import ActorflowError, OptionError
from actorflow.records import dataclass
from actorflow.stage.behaviour import Consumer, Producer, ProducerConsumer, Stage, kind_of
from actorflow.topology.imports import CannotImport, import_object
from actorflow.topology.report import Path, Report, described, did_you_mean, explain, show
from actorflow.topology.rules import BAD, Leaf

__all__ = ["BASES", "StageClass", "check_arguments"]

BASES: dict[str, type[Stage]] = {
    "producer": Producer,
    "producer_consumer": ProducerConsumer,
    "consumer": Consumer,
}
"""The class that each kind of stage is a subclass of."""

_signature = lru_cache(inspect.signature)
"""A topology of thousands of stages has few classes."""

DEEPEST = 8
"""How deep in maps and lists of arguments an option is looked for: they may hold themselves."""

_RULE = "a subclass of Producer, ProducerConsumer or Consumer"


@dataclass(frozen=True, slots=True)
class StageClass(Leaf):
    """A class of stages, in YAML named as ``module:Class``."""

    def _text(self) -> str:
        return "a stage's class, as 'module:Class'"

    def _refusal(self, option: str, value: object) -> OptionError | None:
        problem = _why_no_stage(value)
        return OptionError(option, _RULE, value, problem) if problem else None

    def _read(self, value: Any, path: Path, report: Report) -> Any:
        if not isinstance(value, str):
            report.add(path, f"must be 'module:Class', got {show(value)}")
            return BAD
        try:
            found = import_object(value)
        except CannotImport as error:
            report.add(path, str(error).replace("'module:name'", "'module:Class'"))
            return BAD
        problem = _why_no_stage(found)
        if problem:
            report.add(path, f"{value!r} is not a stage: {problem}")
            return BAD
        return found


def _why_no_stage(value: object) -> str:
    """Why a value cannot be a stage's class; nothing when it can."""
    if isinstance(value, Stage):
        return f"give the class {type(value).__name__} and its arguments as args"
    if not isinstance(value, type):
        return f"it is {described(value)}, and must be {_RULE}"
    try:
        base = BASES[kind_of(value)]
    except TypeError:
        return f"class {value.__name__} is not {_RULE}"
    if value is base:
        return f"{value.__name__} is the base class, subclass it"
    abstract = getattr(value, "__abstractmethods__", None)
    if abstract:
        missing = ", ".join(sorted(abstract))
        return f"class {value.__name__} is abstract, it does not define {missing}"
    return ""


def check_arguments(
    behaviour: type[Stage], args: Mapping[Any, Any], path: Path, report: Report
) -> None:
    """Report arguments that the constructor does not take, and those it needs and does not get.

    Args:
        behaviour: the stage's class.
        args: the declared keyword arguments.
        path: where the stage is.
        report: takes the mistakes.
    """
    try:
        kind: type = behaviour  # or mypy looks for the hash of its instances
        parameters = _signature(kind).parameters.values()
    except (TypeError, ValueError):
        # A constructor written in C may not tell; then the stage itself finds out when it starts.
        return
    by_name = {
        each.name: each
        for each in parameters
        if each.kind in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY)
    }
    takes_any = any(each.kind is each.VAR_KEYWORD for each in parameters)
    constructor = f"{behaviour.__name__}({', '.join(by_name)})"
    for name in args:
        if isinstance(name, str) and name not in by_name and not takes_any:
            hint = did_you_mean(name, by_name) or "; it takes none"
            message = f"{behaviour.__name__} has no argument {name!r}{hint}"
            report.add_key((*path, "args", name), message)
    for each in parameters:
        needed = each.default is each.empty and each.kind not in (
            each.VAR_KEYWORD,
            each.VAR_POSITIONAL,
        )
        if needed and each.kind is each.POSITIONAL_ONLY:
            message = f"{constructor} takes {each.name!r} by position only; args cannot give it"
            report.add((*path, "use"), message)
        elif needed and each.name not in args:
            where: Path = (*path, "args") if args else path
            report.add(where, f"argument {each.name!r} of {constructor} is missing", key=True)
    _check_values(behaviour, args, path, report)


def _check_values(
    behaviour: type[Stage], args: Mapping[Any, Any], path: Path, report: Report
) -> None:
    """Report what the class itself refuses of its arguments, at the key that it names."""
    try:
        behaviour.check_arguments(args)
    except OptionError as error:
        place = _place_of(error, args)
        said = explain(error) if place else f"{error.option} {explain(error)}"
        report.add((*path, "args", *place), said)
    except ActorflowError as error:
        # An error of the stage's own: a program has it as it is, in a text it has a place.
        if not report.has_text:
            raise
        report.add((*path, "args"), str(error))


def _place_of(error: OptionError, args: Mapping[Any, Any]) -> Path:
    """Where among the arguments a refused option is: of several places the one with its value."""
    places = list(_places(error.option, args))
    for place, value in places:
        among = isinstance(value, list | tuple) and any(each is error.value for each in value)
        if among or value is error.value:
            return place
    return places[0][0] if places else ()


def _places(option: str, value: Any, depth: int = DEEPEST) -> Iterator[tuple[Path, Any]]:
    """Every key of this name, and what is there."""
    inner: Iterable[tuple[Any, Any]] = ()
    if isinstance(value, Mapping):
        if option in value:
            yield (option,), value[option]
        inner = value.items()
    elif isinstance(value, list | tuple):
        inner = enumerate(value)
    if depth:
        for key, each in inner:
            for place, found in _places(option, each, depth - 1):
                yield (key, *place), found
