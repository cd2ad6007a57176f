"""The mistakes that show only when the stages of a topology are seen together."""

from __future__ import annotations

from collections.abc import Mapping

from actorflow.errors import OptionError, Problem
from actorflow.stage.behaviour import Stage, kind_of, takes_snapshots
from actorflow.stage.on_error import OnError
from actorflow.stage.options import EXACTLY_ONCE
from actorflow.topology.callbacks import check_callbacks
from actorflow.topology.classes import BASES, check_arguments
from actorflow.topology.cycles import check_cycles
from actorflow.topology.declarations import (
    Defaults,
    StageDeclaration,
    SupervisorDeclaration,
)
from actorflow.topology.diamonds import check_diamonds
from actorflow.topology.drafts import Draft
from actorflow.topology.edges import Edge, check_edges, edges_of, sources
from actorflow.topology.imports import on_import_path
from actorflow.topology.keys import STAGE
from actorflow.topology.members import check_members
from actorflow.topology.model import Topology
from actorflow.topology.planning import class_options, takes_option
from actorflow.topology.report import Path, Report, explain
from actorflow.topology.supervisors import StageDraft, SupervisorDraft, check_supervisors

__all__ = ["check", "problems_of"]


def problems_of(topology: Topology) -> list[Problem]:
    """The mistakes of a topology made in Python."""
    report = Report()
    drafts: dict[str, Draft] = {}
    for declared in topology.stages:
        if declared.name in drafts:
            report.add(("stages", declared.name), f"two stages are named {declared.name!r}")
        drafts[declared.name] = _draft(declared)
        if declared.source is not None and declared.source.used_up:
            why = declared.source.used_up
            report.add(("stages", declared.name, "use"), f"cannot be run: {why}")
    if not drafts and not any(each.dynamic for each in topology.supervisors):
        report.add(("stages",), "a topology needs at least one stage")
    check_supervisors(
        [_supervisor_draft(each) for each in topology.supervisors],
        [
            StageDraft(each.name, each.path, each.restart, each.significant)
            for each in drafts.values()
        ],
        topology.supervisor.auto_shutdown,
        topology.defaults.restart,
        report,
    )
    with on_import_path(topology.import_paths):
        kept = topology.dead_letters is not None
        check(drafts, topology.defaults, report, dead_letters=kept)
    return report.problems()


def _draft(declared: StageDeclaration) -> Draft:
    return Draft(
        name=declared.name,
        use=declared.use,
        args=declared.args if declared.source is None else None,
        replicas=declared.replicas,
        options=declared.options,
        subscribe_to=dict(enumerate(declared.subscribe_to or ())),
        declared=declared.subscribe_to is not None,
        source=declared.source,
        restart=declared.restart,
        significant=declared.significant,
        members=declared.members,
    )


def _child_draft(draft: Draft) -> StageDraft:
    return StageDraft(draft.name, draft.path, draft.restart, draft.significant)


def _supervisor_draft(declared: SupervisorDeclaration) -> SupervisorDraft:
    return SupervisorDraft(
        name=declared.name,
        path=("supervisors", declared.name),
        inside=declared.inside or "",
        stages=dict(enumerate(declared.stages)),
        auto_shutdown=declared.auto_shutdown,
        restart=declared.restart,
        significant=declared.significant,
        dynamic=declared.dynamic,
    )


def check(
    drafts: Mapping[str, Draft],
    defaults: Defaults,
    report: Report,
    *,
    complete: bool = False,
    dead_letters: bool = False,
) -> None:
    """Report what is wrong among stages.

    Args:
        drafts: the stages by name, in the order of declaration.
        defaults: the topology's defaults.
        report: takes the mistakes.
        complete: whether the declaration is all there will be, so that a consumer without a
            producer is a mistake; a program may still subscribe it later.
        dead_letters: whether there is a file for events that are given up.
    """
    edges: dict[str, list[Edge]] = {}
    unclear: set[str] = set()
    _check_codec(defaults.codec, ("defaults", "codec"), report)
    for name, draft in drafts.items():
        found = edges_of(draft, report)
        edges[name] = found if found is not None else []
        if found is None:
            unclear.add(name)
    for draft in drafts.values():
        _check_codec(draft.options.get("codec"), (*draft.path, "codec"), report)
        if draft.use is not None:
            _check_options(draft, report)
            _check_finishing(draft, defaults, report)
            _check_failing(draft, report, dead_letters=dead_letters)
            _check_state(draft, draft.use, report)
            check_callbacks(draft.use, draft.path, report)
            if draft.args is not None:
                check_arguments(draft.use, draft.args, draft.path, report)
        _check_direction(draft, edges[draft.name], report)
        if complete and draft.name not in unclear and not (draft.declared or edges[draft.name]):
            _check_fed(draft, drafts, report)
    for of_one in edges.values():
        check_edges(of_one, drafts, defaults, report)
    check_members(drafts, report)
    check_cycles(edges, drafts, report)
    producers = {name: [edge.subscription.to for edge in of] for name, of in edges.items()}
    check_diamonds(producers, drafts, report)


def _check_codec(codec: object, path: Path, report: Report) -> None:
    """Report a codec for a class that cannot be imported, or of which msgspec knows nothing."""
    if isinstance(codec, Mapping):
        from actorflow.protocol.typed import TypedCodec  # few topologies have one

        try:
            TypedCodec(codec)
        except OptionError as error:
            report.add(path, explain(error))


def _check_finishing(draft: Draft, defaults: Defaults, report: Report) -> None:
    """Report snapshots of a stage that finishes batches in any order: they cover them in order."""
    use = draft.use
    if use is None or not use.finishes_later:
        return
    if takes_snapshots(use) or draft.delivery(defaults) == EXACTLY_ONCE:
        message = (
            f"{use.__name__} finishes batches later than it takes them, so it can have no"
            f" snapshots and not be {EXACTLY_ONCE}"
        )
        report.add((*draft.path, "use"), message)


def _check_failing(draft: Draft, report: Report, *, dead_letters: bool) -> None:
    """Report a rule for failing events that cannot be followed."""
    use = draft.use
    assert use is not None
    value = draft.options.get("on_error", getattr(use, "on_error", "restart"))
    if not takes_option(kind_of(use), "on_error"):
        return
    try:
        rule = OnError.of(value)
    except OptionError:
        return  # which is reported by itself
    where: Path = (*draft.path, "on_error" if "on_error" in draft.options else "use")
    if use.finishes_later and not rule.restarts:
        message = (
            f"{use.__name__} finishes batches later than handle_events returns; what it does about"
            " failures is its own"
        )
        report.add(where, message)
    if rule.then == "dead_letter" and not dead_letters:
        message = "needs a file for dead letters; add dead_letters: FILE to the topology"
        report.add(where, message)


def _check_options(draft: Draft, report: Report) -> None:
    assert draft.use is not None
    kind = kind_of(draft.use)
    for option in draft.options:
        if not takes_option(kind, option):
            fitting = " or ".join(BASES[each].__name__ for each in STAGE.key(option).kinds)
            base = BASES[kind].__name__
            message = f"{option!r} has no meaning for a {base}, only for a {fitting}"
            report.add_key((*draft.path, option), message)
    for option, value in class_options(draft.use).items():
        try:
            STAGE.check(**{option: value})
        except OptionError as error:
            which = f": {error.option}" if error.option != option else ""
            message = f"{option} in class {draft.use.__name__}{which} {explain(error)}"
            report.add((*draft.path, "use"), message)


def _check_state(draft: Draft, use: type[Stage], report: Report) -> None:
    """Report a state that could be kept and not restored, or the other way about."""
    restores = use.restore is not Stage.restore
    if takes_snapshots(use) != restores:
        has, lacks = ("restore", "snapshot") if restores else ("snapshot", "restore")
        message = f"{use.__name__} defines {has} and not {lacks}; it takes both to keep a state"
        report.add((*draft.path, "use"), message)


def _check_direction(draft: Draft, edges: list[Edge], report: Report) -> None:
    if draft.kind == "producer" and edges:
        message = "a Producer takes no events; subclass ProducerConsumer, or delete this"
        where = (*draft.path, "use" if edges[0].by_class else "subscribe_to")
        report.add(where, message, key=True)


def _check_fed(draft: Draft, drafts: Mapping[str, Draft], report: Report) -> None:
    """Report a stage that takes events and says from nobody."""
    kind = draft.kind
    if kind is None or kind == "producer":
        return
    emitting = sources(drafts, draft)
    example = f", for example subscribe_to: [{emitting[0]}]" if emitting else ""
    message = f"a {BASES[kind].__name__} without subscribe_to gets no events; say whose{example}"
    report.add(draft.path, message, key=True)
