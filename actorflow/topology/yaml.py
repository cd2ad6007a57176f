"""Topologies from YAML: a file or a text, with the environment and overrides filled in.

Every mistake is found at once and shown where it is::

    topology.yaml:10:5: stages.parser: unknown key 'max_demnd'; did you mean 'max_demand'?
            max_demnd: 10
            ^
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from actorflow.errors import OptionError, Problem, TopologyError
from actorflow.protocol.backoff import backoff_of
from actorflow.topology.check import check
from actorflow.topology.drafts import Draft
from actorflow.topology.imports import on_import_path
from actorflow.topology.keys import TOPOLOGY, stage_option_names
from actorflow.topology.model import (
    Defaults,
    StageDeclaration,
    SubscribeTo,
    SupervisorOptions,
    Topology,
)
from actorflow.topology.report import Path, Report, explain
from actorflow.topology.rules import BAD
from actorflow.topology.supervisors import (
    StageDraft,
    check_backoff,
    check_supervisors,
    nested_drafts,
)

if TYPE_CHECKING:
    from actorflow.topology.document import Document

__all__ = ["load", "loads"]

_MAX_BYTES = 1 << 20
"""A larger file is no topology; reading stops there, for it may have no end."""


def load(
    path: str | os.PathLike[str],
    *,
    overrides: Iterable[str] = (),
    environment: Mapping[str, str] | None = None,
) -> Topology:
    """Read a topology from a file.

    The file's folder goes first on the import path while the stages' classes are imported, and is
    kept in the topology's `import_paths` for the stages' processes.

    Args:
        path: a YAML file in UTF-8, at most 1 MiB.
        overrides: values that replace or add to the file's, each ``"stages.count.replicas=4"``: the
            key's path (in a list, the place from 0), and the value in YAML.
        environment: what ``${NAME}`` and ``${NAME:-default}`` read; `os.environ` when left out.

    Raises:
        TopologyError: the file cannot be read, or has mistakes; it lists all of them.

    Example:
        >>> load("missing.yaml")
        Traceback (most recent call last):
        ...
        actorflow.errors.TopologyError: missing.yaml: no such file
    """
    file = os.fsdecode(path)
    text = _decoded(_read(file), file)
    folder = os.path.dirname(os.path.abspath(file))
    return loads(text, file=file, folder=folder, overrides=overrides, environment=environment)


def loads(
    text: str | bytes,
    *,
    file: str = "<text>",
    folder: str | None = None,
    overrides: Iterable[str] = (),
    environment: Mapping[str, str] | None = None,
) -> Topology:
    """Read a topology from a text.

    Args:
        text: YAML; bytes are UTF-8.
        file: how the text is called in messages; the topology's name, when it has none itself.
        folder: goes first on the import path of the stages' classes; None for nothing.
        overrides: as for `load`.
        environment: as for `load`.

    Raises:
        OptionError: `text` is something else.
        TopologyError: the text has mistakes; it lists all of them.

    Example:
        >>> try:
        ...     loads("stages: {a: {use: 'operator:neg', replica: 2}}", file="t.yaml")
        ... except TopologyError as error:
        ...     print(len(error.problems), error.problems[1].column)
        2 35
    """
    from actorflow.topology.document import Source, compose
    from actorflow.topology.overrides import override

    decoded: object = _decoded(text, file) if isinstance(text, bytes) else text
    if not isinstance(decoded, str):
        raise OptionError("text", "text or bytes", decoded)
    source = Source(file, decoded.removeprefix("\ufeff"))
    early = Report()
    root = compose(source, early)
    early.finish()
    assert root is not None
    document = override(root, source, overrides, early)
    # What is in the way of an override is found here, with a report of its own: the places of the
    # rest are asked of the document, which exists only now.
    report = Report(document)
    report.take(early)
    data = document.to_data(os.environ if environment is None else environment, report)
    folders = (folder,) if folder is not None else ()
    with on_import_path(folders):
        topology = _topology(data, document, report, file, folders)
    report.finish()
    assert topology is not None
    return topology


def _topology(
    data: Any, document: Document, report: Report, file: str, folders: tuple[str, ...]
) -> Topology | None:
    """The topology that data declares; None when there are mistakes, which are reported."""
    if data is None:
        message = "is empty; a topology has at least stages, each with a use: module:Class"
        report.add((), message)
        return None
    read = TOPOLOGY.read(data, (), report)
    if read is BAD:
        return None
    defaults = Defaults(**_good(read.get("defaults")))
    declared = read["stages"] if isinstance(read["stages"], dict) else {}
    drafts = {name: _draft(name, stage, report) for name, stage in declared.items()}
    supervisor = _good(read.get("supervisor"))
    nested = nested_drafts(read.get("supervisors"), report)
    children = [
        StageDraft(draft.name, draft.path, draft.restart, draft.significant)
        for draft in drafts.values()
    ]
    automatic = supervisor.get("auto_shutdown", "never")
    check_supervisors(nested, children, automatic, defaults.restart, report)
    check(drafts, defaults, report, complete=True, dead_letters="dead_letters" in read)
    if report:
        return None
    return Topology(
        name=read.get("name", _name_from(file)),
        stages=tuple(_declaration(drafts[name], stage) for name, stage in declared.items()),
        supervisor=SupervisorOptions(**supervisor),
        supervisors=tuple(each.declaration() for each in nested),
        defaults=defaults,
        import_paths=folders,
        checkpoint=read.get("checkpoint"),
        permits=read.get("permits", {}),
        dead_letters=read.get("dead_letters"),
    )


def _draft(name: str, stage: Any, report: Report) -> Draft:
    if stage is BAD:
        return Draft(name=name)
    good = _good(stage)
    check_backoff(good.get("backoff"), ("stages", name, "backoff"), report)
    path: Path = ("stages", name, "subscribe_to")
    subscriptions = {
        place: subscription
        for place, entry in enumerate(good.get("subscribe_to", ()))
        if (subscription := _subscription(entry, (*path, place), report)) is not None
    }
    args = stage.get("args", {})
    return Draft(
        name=name,
        use=good.get("use"),
        args=None if args is BAD else args,
        replicas=good.get("replicas", None if "replicas" in stage else 1),
        options={option: good[option] for option in stage_option_names() if option in good},
        subscribe_to=subscriptions,
        declared="subscribe_to" in stage,
        restart=good.get("restart"),
        significant=good.get("significant", False),
        members=_members(good),
    )


def _members(good: Mapping[str, Any]) -> tuple[str, ...] | None:
    if "members" not in good:
        return None
    return tuple(name for name in good["members"] if name is not BAD)


def _subscription(entry: Any, path: Path, report: Report) -> SubscribeTo | None:
    """A subscription as far as it could be read; None when it is not known to whom."""
    good = _good(entry)
    # Without its partition it would be judged as if each replica had to find one of its own.
    if "to" not in good or entry.get("partition") is BAD:
        return None
    if entry.get("max_demand") is BAD:
        good.pop("min_demand", None)
    try:
        return SubscribeTo(**good)
    except OptionError as error:
        # Each value is good by itself, so these two do not go together.
        report.add((*path, error.option), explain(error))
        return SubscribeTo(good["to"])


def _declaration(draft: Draft, stage: Mapping[str, Any]) -> StageDeclaration:
    assert draft.use is not None
    child = {option: stage.get(option) for option in ("restart", "shutdown", "start_within")}
    return StageDeclaration(
        name=draft.name,
        use=draft.use,
        args=draft.args or {},
        replicas=draft.replicas or 1,
        subscribe_to=tuple(draft.subscribe_to.values()) if draft.declared else None,
        members=draft.members,
        options=draft.options,
        backoff=backoff_of(stage.get("backoff")),
        significant=draft.significant,
        **child,
    )


def _good(values: Any) -> dict[str, Any]:
    """The values that were read without a mistake."""
    if not isinstance(values, Mapping):
        return {}
    return {name: value for name, value in values.items() if value is not BAD}


def _name_from(file: str) -> str:
    stem = os.path.basename(file).partition(".")[0]
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", stem).strip("-")
    return name if re.match(r"[A-Za-z_]", name) else f"topology-{name}".strip("-")


def _read(file: str) -> bytes:
    try:
        with open(file, "rb") as opened:
            data = opened.read(_MAX_BYTES + 1)
    except FileNotFoundError:
        raise TopologyError([Problem(f"no such file{_near_files(file)}", file=file)]) from None
    except IsADirectoryError:
        message = f"is a folder; give the file in it{_near_files(os.path.join(file, ''))}"
        raise TopologyError([Problem(message, file=file)]) from None
    except OSError as error:
        problem = Problem(f"cannot be read: {error.strerror or error}", file=file)
        raise TopologyError([problem]) from error
    # What `open` says of a path with a zero byte.
    except ValueError as error:
        raise TopologyError([Problem(f"is no path: {error}", file=repr(file))]) from error
    if len(data) > _MAX_BYTES:
        raise TopologyError([Problem("is larger than 1 MiB, so it is no topology", file=file)])
    return data


def _near_files(file: str) -> str:
    folder, name = os.path.split(file)
    try:
        there = [each for each in os.listdir(folder or ".") if each.endswith((".yaml", ".yml"))]
    except OSError:
        return ""
    near = difflib.get_close_matches(name, there, 1) if name else sorted(there)[:1]
    return f"; did you mean {os.path.join(folder, near[0])!r}?" if near else ""


def _decoded(data: bytes, file: str) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8")
        line = before.count("\n") + 1
        column = len(before) - (before.rfind("\n") + 1) + 1
        message = f"not UTF-8: the byte {data[error.start]:#04x}; save the file as UTF-8"
        problem = Problem(message, file=file, line=line, column=column)
        raise TopologyError([problem]) from None
