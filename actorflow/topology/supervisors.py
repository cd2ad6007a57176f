"""The supervisors that a topology declares: read from YAML, and judged together with the stages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field
from typing import Any

from actorflow.errors import OptionError
from actorflow.protocol.backoff import Backoff, backoff_of
from actorflow.records import dataclass
from actorflow.topology.declarations import SupervisorDeclaration
from actorflow.topology.report import Path, Report, did_you_mean, explain
from actorflow.topology.rules import BAD

__all__ = ["StageDraft", "SupervisorDraft", "check_backoff", "check_supervisors", "nested_drafts"]


@dataclass(frozen=True, slots=True)
class StageDraft:
    """What a supervisor has to know of a stage.

    Args:
        name: the stage.
        path: where it is declared.
        restart: when it is started again; None when it does not say.
        significant: whether its end may shut its supervisor down.
    """

    name: str
    path: Path
    restart: str | None
    significant: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SupervisorDraft:
    """A supervisor as far as it could be read.

    Args:
        name: its name.
        path: where it is declared.
        inside: the supervisor that it is a child of; nothing for the run's own.
        stages: the stages that it names, by their place in the list.
        auto_shutdown: whether it shuts down by itself.
        restart: when it is started again.
        significant: whether its end may shut down the supervisor that it is in.
        dynamic: whether its children are started while the run goes on.
        options: the other options.
    """

    name: str
    path: Path
    inside: str = ""
    stages: Mapping[int, str] = field(default_factory=dict)
    auto_shutdown: str = "never"
    restart: str = "transient"
    significant: bool = False
    dynamic: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)

    def declaration(self) -> SupervisorDeclaration:
        """The supervisor, when there are no mistakes."""
        options = dict(self.options)
        return SupervisorDeclaration(
            name=self.name,
            stages=tuple(self.stages.values()),
            inside=self.inside or None,
            auto_shutdown=self.auto_shutdown,
            restart=self.restart,
            significant=self.significant,
            dynamic=self.dynamic,
            backoff=backoff_of(options.pop("backoff", None)),
            **options,
        )


def nested_drafts(
    read: Any, report: Report, above: Path = (), inside: str = ""
) -> list[SupervisorDraft]:
    """The supervisors of a map that was read from YAML, each before those inside it."""
    drafts: list[SupervisorDraft] = []
    if not isinstance(read, Mapping):
        return drafts
    for name, values in read.items():
        path: Path = (*above, "supervisors", name)
        given = values if isinstance(values, Mapping) else {}
        good = {option: value for option, value in given.items() if value is not BAD}
        check_backoff(good.get("backoff"), (*path, "backoff"), report)
        inner = good.pop("supervisors", None)
        dynamic = good.pop("dynamic", None)
        if isinstance(dynamic, Mapping):
            _check_dynamic(given, path, report)
            inner = None
            good |= {option: value for option, value in dynamic.items() if value is not BAD}
        stages = good.pop("stages", ())
        drafts.append(
            SupervisorDraft(
                name=name,
                path=path,
                inside=inside,
                stages={place: each for place, each in enumerate(stages) if each is not BAD},
                auto_shutdown=good.pop("auto_shutdown", "never"),
                restart=good.pop("restart", "transient"),
                significant=good.pop("significant", False),
                dynamic=dynamic is not None,
                options=good,
            )
        )
        drafts += nested_drafts(inner, report, path, name)
    return drafts


def _check_dynamic(given: Mapping[str, Any], path: Path, report: Report) -> None:
    """Report what has no meaning for a dynamic supervisor."""
    for option in ("stages", "supervisors", "auto_shutdown", "backoff"):
        if option in given:
            message = f"{option!r} has no meaning for a dynamic supervisor: its children come later"
            report.add_key((*path, option), message)
    for option, only in (("strategy", "one_for_one"), ("order", "together")):
        if given.get(option, only) not in (only, BAD):
            report.add((*path, option), f"must be {only} for a dynamic supervisor")


def check_backoff(options: Any, path: Path, report: Report) -> None:
    """Report options of a back-off that are good by themselves and do not go together."""
    if not isinstance(options, Mapping) or BAD in options.values():
        return
    try:
        Backoff(**options)
    except OptionError as error:
        if error.option in options:
            report.add((*path, error.option), explain(error))
        else:
            report.add(path, f"{error.option} must be {error.rule}")


def check_supervisors(
    supervisors: Sequence[SupervisorDraft],
    stages: Iterable[StageDraft],
    auto_shutdown: str,
    restart: str | None,
    report: Report,
) -> None:
    """Report what is wrong among supervisors.

    Args:
        supervisors: the declared ones.
        stages: the declared stages.
        auto_shutdown: whether the run's own shuts down by itself.
        restart: the default for stages that do not say when they are started again.
        report: takes the mistakes.
    """
    children = {stage.name: stage for stage in stages}
    by_name: dict[str, SupervisorDraft] = {}
    for each in supervisors:
        if each.name in children:
            report.add_key(each.path, f"{each.name!r} is the name of a stage")
        elif each.name in by_name:
            report.add_key(each.path, f"two supervisors are named {each.name!r}")
        by_name.setdefault(each.name, each)
    _check_inside(by_name, report)
    belongs = _check_stages(supervisors, children, report)
    rules = {each.name: each.auto_shutdown for each in supervisors} | {"": auto_shutdown}
    for stage in children.values():
        again = stage.restart or restart or "transient"
        _check_significant(stage, rules.get(belongs.get(stage.name, ""), ""), again, report)
    for each in supervisors:
        _check_significant(each, rules.get(each.inside, ""), each.restart, report)


def _check_inside(supervisors: Mapping[str, SupervisorDraft], report: Report) -> None:
    for each in supervisors.values():
        above, seen = each, {each.name}
        while above.inside:
            if above.inside not in supervisors:
                if above is each:
                    near = did_you_mean(each.inside, [n for n in supervisors if n != each.name])
                    message = f"unknown supervisor {each.inside!r}{near}"
                    report.add((*each.path, "inside"), message)
                break
            above = supervisors[above.inside]
            if above.dynamic and each.inside == above.name:
                message = f"{above.name!r} is dynamic: its children come later"
                report.add((*each.path, "inside"), message)
            if above.name in seen:
                if above is each:
                    report.add((*each.path, "inside"), f"{each.name!r} is inside itself")
                break
            seen.add(above.name)


def _check_stages(
    supervisors: Iterable[SupervisorDraft], stages: Mapping[str, StageDraft], report: Report
) -> dict[str, str]:
    """The supervisor of each stage that has one; reports names that are unknown or taken."""
    belongs: dict[str, str] = {}
    for each in supervisors:
        for place, stage in each.stages.items():
            path = (*each.path, "stages", place)
            if stage not in stages:
                report.add(path, f"unknown stage {stage!r}{did_you_mean(stage, stages)}")
            elif stage in belongs:
                holder = belongs[stage]
                message = f"{stage!r} has a supervisor already, {holder!r}; a stage has one"
                report.add(path, message)
            else:
                belongs[stage] = each.name
    return belongs


def _check_significant(
    child: StageDraft | SupervisorDraft, auto_shutdown: str, restart: str, report: Report
) -> None:
    if not child.significant:
        return
    path = (*child.path, "significant")
    if restart == "permanent":
        report.add(path, "must be false where restart is permanent: it never ends for good")
    elif auto_shutdown == "never":
        message = "has no effect: its supervisor's auto_shutdown is never; say any_significant or"
        report.add(path, f"{message} all_significant there")
