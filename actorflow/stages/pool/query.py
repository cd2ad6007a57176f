"""What a pool runs: a query is a graph of pipelines, each a function that makes tasks of a task."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping, Sequence
from dataclasses import field, fields
from functools import lru_cache
from graphlib import CycleError, TopologicalSorter
from typing import Any

from actorflow.dispatch.functions import function_of
from actorflow.errors import OptionError
from actorflow.protocol.arguments import check_fields, check_map, check_text
from actorflow.protocol.codec import dump
from actorflow.records import dataclass

__all__ = ["Functions", "Pipeline", "Query", "Step", "load_functions"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipeline:
    """One step of a query: a function that is called for each task.

    All of its functions run in worker processes, any call in any of them, so what one of them
    leaves in a variable is not there for the next.

    Args:
        run: called with the task's item and a `TaskContext`; or ``"module:name"`` of it.
        to: the pipelines that what it emits becomes tasks of, one task for each. One without any
            emits events of the stage. A pipeline may name itself.
        start: called once, without arguments, before the first task of the query; or None.
        stop: called once with a `TaskContext`, when no task of this pipeline is left and none can
            come; it may emit. Or None.

    Raises:
        OptionError: an argument breaks its rule.

    Example:
        >>> def split(line, context):
        ...     for word in line.split():
        ...         context.emit(word)
        >>> Pipeline(run=split, to=["count"]).to
        ('count',)
    """

    run: Callable[..., Any] | str
    to: Sequence[str] = ()
    start: Callable[[], Any] | str | None = None
    stop: Callable[..., Any] | str | None = None

    def __post_init__(self) -> None:
        if isinstance(self.to, str) or not isinstance(self.to, Sequence):
            raise OptionError("to", "a list of names of pipelines", self.to)
        for name in self.to:
            check_text("to", name, "a list of names of pipelines")
        if len(set(self.to)) != len(self.to):
            raise OptionError("to", "a list of different names", list(self.to))
        object.__setattr__(self, "to", tuple(self.to))
        for option in ("run", "start", "stop"):
            given = getattr(self, option)
            if given is not None or option == "run":
                function_of(option, given)

    @classmethod
    def of(cls, given: object) -> Pipeline:
        """A pipeline from one, from a map of its fields, or from what it runs alone.

        Raises:
            OptionError: it is none of them.

        Example:
            >>> Pipeline.of("operator:neg").to
            ()
        """
        if isinstance(given, Pipeline):
            return given
        if isinstance(given, Mapping):
            return cls(**_checked(cls, "pipelines", given))
        return cls(run=given)  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """A graph of pipelines without cycles, and where its tasks come from.

    Args:
        name: what it is called, in results and errors.
        pipelines: its pipelines by name: a `Pipeline` each, or a map of its fields, or what it
            runs alone.
        sources: which pipeline takes the events of which of the stage's producers. Left out, the
            one pipeline that no other emits to takes all of them.
        idempotent: whether tasks may be run twice. Then those that a dead worker had are run
            again; otherwise the query fails.

    Raises:
        OptionError: an argument breaks its rule.

    Example:
        >>> query = Query(name="negate", pipelines={"negate": "operator:neg"})
        >>> query.entry
        'negate'
    """

    name: str
    pipelines: Mapping[str, Any]
    sources: Mapping[str, str] = field(default_factory=dict)
    idempotent: bool = False

    def __post_init__(self) -> None:
        check_text("name", self.name)
        check_map("pipelines", self.pipelines)
        if not self.pipelines:
            raise OptionError("pipelines", "a map of at least one pipeline", {})
        if type(self.idempotent) is not bool:
            raise OptionError("idempotent", "true or false", self.idempotent)
        made = {name: Pipeline.of(each) for name, each in self.pipelines.items()}
        object.__setattr__(self, "pipelines", made)
        self._check_graph(made)
        check_map("sources", self.sources, "a map from producers to pipelines")
        for pipeline in self.sources.values():
            self.index(pipeline, "sources")

    @classmethod
    def of(cls, given: object) -> Query:
        """A query from one, or from a map of its fields.

        Raises:
            OptionError: it is neither, or breaks a rule.
        """
        if isinstance(given, Query):
            return given
        if not isinstance(given, Mapping):
            raise OptionError("queries", "a list of Query, or of maps of its fields", given)
        return cls(**_checked(cls, "queries", given))

    @property
    def names(self) -> tuple[str, ...]:
        """Its pipelines' names, in the order they were given."""
        return tuple(self.pipelines)

    @property
    def entry(self) -> str | None:
        """The one pipeline that no other emits to; None when there are several."""
        fed = {to for name, each in self.pipelines.items() for to in each.to if to != name}
        entries = [name for name in self.pipelines if name not in fed]
        return entries[0] if len(entries) == 1 else None

    def index(self, pipeline: object, option: str = "pipeline") -> int:
        """The place of a pipeline.

        Raises:
            OptionError: there is none of that name.
        """
        if pipeline not in self.pipelines:
            raise OptionError(option, "one of " + ", ".join(self.names), pipeline)
        return self.names.index(str(pipeline))

    def definition(self) -> bytes:
        """What a worker has to know of it, for `load_functions`.

        Raises:
            OptionError: a function cannot be sent to another process.
        """
        names = self.names
        parts = [
            (name, each.run, each.start, each.stop, [names.index(to) for to in each.to])
            for name, each in self.pipelines.items()
        ]
        try:
            return dump((self.name, parts))
        except Exception as error:
            rule = "functions that can be sent to another process"
            raise OptionError("pipelines", rule, list(names), str(error)) from error

    def _check_graph(self, made: Mapping[str, Pipeline]) -> None:
        for name, each in made.items():
            for to in each.to:
                if to not in made:
                    rule = f"one of {', '.join(made)} (in pipeline {name!r})"
                    raise OptionError("to", rule, to)
        graph = {name: [to for to in each.to if to != name] for name, each in made.items()}
        try:
            TopologicalSorter(graph).prepare()
        except CycleError as error:
            cycle = " -> ".join(reversed(error.args[1]))
            hint = "a pipeline may emit to itself, but not to one that emits to it"
            raise OptionError("pipelines", "without a cycle", cycle, hint) from error


def _checked(kind: type[Any], option: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a dataclass, from a map; those without a default have to be there."""
    known = {each.name: each for each in fields(kind)}
    needed = [name for name, each in known.items() if each.default is each.default_factory]
    others = [name for name in known if name not in needed]
    rule = f"a map with {' and '.join(needed)} and, as wanted, {', '.join(others)}"
    check_fields(option, given, known, rule)
    for name in needed:
        if name not in given:
            raise OptionError(option, rule, dict(given), f"it needs a {name}")
    return dict(given)


# --- in a worker ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Step:
    """One pipeline, imported."""

    name: str
    run: Callable[..., Any]
    start: Callable[[], Any] | None
    stop: Callable[..., Any] | None
    to: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Functions:
    """A query as a worker knows it."""

    query: str
    steps: tuple[Step, ...]


@lru_cache(maxsize=64)
def load_functions(definition: bytes) -> Functions:
    """What `Query.definition` made, with its functions imported; read once in each process.

    Example:
        >>> query = Query(name="negate", pipelines={"negate": "operator:neg"})
        >>> load_functions(query.definition()).steps[0].run(1)
        -1
    """
    name, parts = pickle.loads(definition)
    steps = []
    for each, run, start, stop, to in parts:
        loaded = [None if it is None else function_of(each, it) for it in (start, stop)]
        steps.append(Step(each, function_of(each, run), loaded[0], loaded[1], tuple(to)))
    return Functions(name, tuple(steps))
