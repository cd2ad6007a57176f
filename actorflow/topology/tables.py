"""Rules for maps and lists: which keys there are, and what each of them may be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from actorflow.records import dataclass
from actorflow.topology.report import Path, Report, did_you_mean, refused, show
from actorflow.topology.rules import BAD, Leaf, Rule

__all__ = ["Each", "Key", "Named", "OneOrAnother", "Table"]


@dataclass(frozen=True, slots=True)
class Key:
    """One key of a map.

    Args:
        name: the key.
        rule: what its value may be.
        doc: what it is for, one sentence.
        required: whether it must be given.
        default: what holds without it, where the rule does not say.
        kinds: the kinds of stage that it is for; nothing for all.
    """

    name: str
    rule: Rule
    doc: str
    required: bool = False
    default: str = ""
    kinds: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Table(Rule):
    """A map with known keys.

    Args:
        title: what the map is, e.g. ``"a stage"``.
        where: where it stands, e.g. ``"stages.NAME"``.
        keys: what it may contain.
    """

    title: str
    where: str
    keys: tuple[Key, ...]

    def _text(self) -> str:
        names = [key.name for key in self.keys]
        if len(names) > 8:
            names = [*(key.name for key in self.keys if key.required), "other keys"]
        return f"a map with {_listed(names)}" if names else "empty"

    def key(self, name: str) -> Key:
        """The key of that name; raises LookupError when there is none."""
        for key in self.keys:
            if key.name == name:
                return key
        raise LookupError(f"{self.title} has no key {name!r}")

    def check(self, **values: object) -> None:
        """Check arguments given in Python against the keys of their names.

        Raises:
            OptionError: the first value that breaks its rule.
        """
        for name, value in values.items():
            rule = self.key(name).rule
            error = rule.refusal(name, value) if isinstance(rule, Leaf) else None
            if error is not None:
                raise error

    def _read(self, value: Any, path: Path, report: Report) -> Any:
        if not isinstance(value, Mapping):
            report.add(path, refused(self.text, value))
            return BAD
        known = {key.name: key for key in self.keys}
        good: dict[str, Any] = {}
        for name, each in value.items():
            here = (*path, name)
            if not isinstance(name, str):
                message = f"a key must be text, and this is read as {show(name)}; put it in quotes"
                report.add_key(here, message)
            elif name not in known:
                message = f"unknown key {name!r}{did_you_mean(name, known)}"
                report.add_key(here, message)
            else:
                good[name] = known[name].rule.read(each, here, report)
        for key in self.keys:
            if key.required and key.name not in value:
                report.add(path, f"{key.name!r} is missing: {key.rule.text}", key=True)
                good[key.name] = BAD
        return good


@dataclass(frozen=True, slots=True)
class Named(Rule):
    """A map from names of one's own choice to values of one rule."""

    name: Leaf
    value: Rule
    words: str
    at_least: int = 0

    def _text(self) -> str:
        return self.words

    def _read(self, value: Any, path: Path, report: Report) -> Any:
        if not isinstance(value, Mapping) or len(value) < self.at_least:
            message = refused(self.text, value)
            if isinstance(value, Mapping):
                message = f"must be {self.text}, and is empty"
            report.add(path, message)
            return BAD
        good: dict[Any, Any] = {}
        for name, each in value.items():
            here = (*path, name)
            error = self.name.refusal("name", name)
            if error is not None:
                hint = "" if isinstance(name, str) else "put it in quotes"
                report.add_key(here, refused(error.rule, name, hint))
            good[name] = self.value.read(each, here, report)
        return good


@dataclass(frozen=True, slots=True)
class Each(Rule):
    """A list whose items keep one rule; a bad item stays in it as `BAD`, so that places agree."""

    item: Rule
    words: str

    def _text(self) -> str:
        return self.words

    def _read(self, value: Any, path: Path, report: Report) -> Any:
        if not isinstance(value, list):
            hint = f"write [{value}]" if isinstance(value, str) else ""
            report.add(path, refused(self.text, value, hint))
            return BAD
        return [self.item.read(each, (*path, place), report) for place, each in enumerate(value)]


@dataclass(frozen=True, slots=True)
class OneOrAnother(Rule):
    """A short form, or a map in full.

    Args:
        short: the key of the map that a value which is no map stands for.
        table: the map.
        words: what is accepted.
    """

    short: str
    table: Table
    words: str

    def _text(self) -> str:
        return self.words

    def _read(self, value: Any, path: Path, report: Report) -> Any:
        if isinstance(value, Mapping):
            return self.table.read(value, path, report)
        rule = self.table.key(self.short).rule
        if isinstance(value, Sequence) and not isinstance(value, str):
            report.add(path, refused(self.text, value))
            return BAD
        read = rule.read(value, path, report)
        return BAD if read is BAD else {self.short: read}


def _listed(names: list[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else names[0]
