"""Another try for dead letters: the same topology, fed with what its stages had given up."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from actorflow.errors import DeadLetterError
from actorflow.stage.behaviour import kind_of
from actorflow.stages.sources import Items
from actorflow.supervision.letters import DeadLetter, read_letters
from actorflow.topology.declarations import StageDeclaration, SubscribeTo
from actorflow.topology.model import Topology
from actorflow.topology.planning import class_subscriptions
from actorflow.topology.report import did_you_mean

__all__ = ["retrying"]


def retrying(topology: Topology, path: str | Path) -> Topology:
    """A topology that hands the dead letters of a file to the stages that had given them up.

    It has those stages and whatever takes their events, and in the place of their producers one
    source for each of them. Nothing else is run, and nothing is removed from the file: what fails
    again is added to the topology's own `dead_letters`, which has to be another file.

    Args:
        topology: the topology that the letters are of.
        path: the file.

    Raises:
        DeadLetterError: the file cannot be read, is empty, is where the topology adds its own, or
            is of another topology.
    """
    if topology.dead_letters is not None and _same(path, topology.dead_letters):
        raise DeadLetterError(
            f"{path} is where this topology adds its dead letters; rename the file first, for"
            f" example: mv {path} {path}.retry"
        )
    letters = list(read_letters(path))
    if not letters:
        raise DeadLetterError(f"{path} has no dead letters in it")
    by_name = {declared.name: declared for declared in topology.stages}
    failed: dict[str, list[DeadLetter]] = {}
    for letter in letters:
        failed.setdefault(letter.stage.rpartition("/")[0], []).append(letter)
    for name in failed:
        _check(name, by_name, path)
    kept = _downstream(topology.stages, failed)
    stages: list[StageDeclaration] = []
    for declared in topology.stages:
        if declared.name not in kept:
            continue
        theirs = _subscriptions(declared)
        subscriptions = [each for each in theirs if each.to in kept]
        if declared.name in failed:
            source = f"retry-{declared.name}"
            letter = failed[declared.name][0]
            origin = _origin(theirs, letter)
            stages.append(_source(source, failed[declared.name], by_name[origin.to]))
            subscriptions.append(replace(origin, to=source))
        stages.append(replace(declared, subscribe_to=tuple(subscriptions)))
    supervisors = tuple(
        replace(each, stages=tuple(stage for stage in each.stages if stage in kept))
        for each in topology.supervisors
    )
    return replace(topology, stages=tuple(stages), supervisors=supervisors, checkpoint=None)


def _same(path: str | Path, other: str) -> bool:
    return Path(path).resolve() == Path(other).resolve()


def _check(name: str, by_name: dict[str, StageDeclaration], path: str | Path) -> None:
    declared = by_name.get(name)
    if declared is None:
        hint = did_you_mean(name, by_name)
        raise DeadLetterError(
            f"{path} has dead letters of a stage {name!r}, and there is none{hint}"
        )
    if kind_of(declared.use) == "producer" or not _subscriptions(declared):
        raise DeadLetterError(f"{path} has dead letters of {name!r}, which subscribes to no stage")


def _subscriptions(declared: StageDeclaration) -> Sequence[SubscribeTo]:
    if declared.subscribe_to is not None:
        return declared.subscribe_to
    return class_subscriptions(declared.use)


def _downstream(stages: Iterable[StageDeclaration], first: Iterable[str]) -> set[str]:
    """Some stages and all that take events from them, directly or not."""
    found = set(first)
    declared = list(stages)
    grown = True
    while grown:
        more = {
            each.name
            for each in declared
            if each.name not in found and any(s.to in found for s in _subscriptions(each))
        }
        grown = bool(more)
        found |= more
    return found


def _origin(subscriptions: Sequence[SubscribeTo], letter: DeadLetter) -> SubscribeTo:
    """By which subscription an event had come; the first, when it is not there any more."""
    producer = letter.producer.rpartition("/")[0]
    return next((each for each in subscriptions if each.to == producer), subscriptions[0])


def _source(name: str, letters: Iterable[DeadLetter], before: StageDeclaration) -> StageDeclaration:
    """A source of what was given up, which deals as the stage that it had come from."""
    options: dict[str, Any] = {}
    dispatcher = before.options.get("dispatcher", getattr(before.use, "dispatcher", "demand"))
    if dispatcher != "broadcast":
        # With a broadcast, others have had these events.
        options["dispatcher"] = dispatcher
    for option in ("delivery", "codec", "shared_memory"):
        if option in before.options:
            options[option] = before.options[option]
    events = [letter.value() for letter in letters]
    return StageDeclaration(name=name, use=Items, args={"items": events}, options=options)
