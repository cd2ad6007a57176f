"""Scans as functions of an iterable: a whole run behind an iterator of lists."""

from __future__ import annotations

from collections.abc import AsyncIterable, Callable, Hashable, Iterable, Iterator, Mapping
from typing import Any

from actorflow.errors import OptionError
from actorflow.stage.behaviour import Stage
from actorflow.stages.iterables import from_iterable
from actorflow.stages.outlets import StreamEnd
from actorflow.stages.scans.config import ScanConfig
from actorflow.stages.scans.lists import DemuxToLists, DistributeToLists
from actorflow.stages.scans.scan import Scan, function_of
from actorflow.supervision.events import Outcome
from actorflow.topology.declarations import SubscribeTo, SupervisorOptions
from actorflow.topology.model import Topology
from actorflow.topology.opening import stream_options, whole_run, with_stream
from actorflow.topology.run import Run
from actorflow.topology.streams import Stream

__all__ = ["par_demux_scan", "par_distribute_scan", "par_distribute_scan_m"]

_UNLIMITED = 1_000_000
"""How many inputs may be under way to a stage whose scans have no limit."""


def par_distribute_scan(
    source: Iterable[Any] | AsyncIterable[Any],
    scans: Iterable[Scan[Any, Any]],
    *,
    config: ScanConfig | Mapping[str, Any] | None = None,
) -> Stream:
    """Every item of an iterable to every scan, and their values in lists as they come.

    It starts a run, with the iterable in this program and each scan in a process of its own, unless
    the configuration says otherwise. The run ends with the stream: at its end, when it is closed,
    or when it is let go of; every scan is finalised then.

    Args:
        source: the items; one that ends or is left with the stream.
        scans: what gets them.
        config: how scans are run.

    Returns:
        a stream of lists, none of which is empty. In each, values are in the order in which they
        were said; those of one scan are in its order over all lists.

    Raises:
        OptionError: an argument breaks its rule.
        ScanNotPicklable: a scan cannot travel.
        ScanFailed: out of the stream: a scan raised.
        ScanCrashed: out of the stream: a scan's process died.

    Example:
        >>> from actorflow.stages.scans import length, sum_of
        >>> with par_distribute_scan([3, 4], [sum_of(), length()]) as stream:
        ...     values = [value for values in stream for value in values]
        >>> sorted(values)
        [0, 0, 1, 2, 3, 7]

    Idea from: streamly's ``parDistributeScan``.
    """
    # An iterator of scans is read once; what is no list of scans is refused by the stage.
    given = list(scans) if isinstance(scans, Iterator) else scans
    return _stream(source, DistributeToLists, {"scans": given}, config)


def par_distribute_scan_m(
    source: Iterable[Any] | AsyncIterable[Any],
    next_scans: Callable[[], Iterable[Scan[Any, Any]]],
    *,
    config: ScanConfig | Mapping[str, Any] | None = None,
) -> Stream:
    """As `par_distribute_scan`, with scans that are added while it runs.

    Args:
        source: the items.
        next_scans: called before each item, in the process of the stage; the scans that it returns
            see that item first. It has to pickle, and what it remembers it remembers there.
        config: how scans are run.

    Returns:
        a stream of lists, as `par_distribute_scan`.

    Raises:
        OptionError: an argument breaks its rule.

    Example:
        >>> from actorflow.stages.scans import latest
        >>> class EveryOther:
        ...     def __init__(self):
        ...         self.calls = 0
        ...     def __call__(self):
        ...         self.calls += 1
        ...         return [latest()] if self.calls % 2 else []
        >>> config = {"worker": "inline", "emit": "tagged"}
        >>> with par_distribute_scan_m("abc", EveryOther(), config=config) as stream:
        ...     values = [value for values in stream for value in values]
        Traceback (most recent call last):
        ...
        actorflow.errors.OptionError: source must be an iterable of events, got 'abc'; for its \
parts give list(…), for a file's lines open(…)
        >>> with par_distribute_scan_m(list("abc"), EveryOther(), config=config) as stream:
        ...     values = [value for values in stream for value in values]
        >>> sorted(values, key=str)
        [(1, 'a'), (1, 'b'), (1, 'c'), (1, None), (2, 'c'), (2, None)]

    Idea from: streamly's ``parDistributeScanM``.
    """
    following = function_of("next_scans", next_scans)
    return _stream(source, DistributeToLists, {"next_scans": following}, config)


def par_demux_scan(
    source: Iterable[Any] | AsyncIterable[Any],
    key: Callable[[Any], Hashable],
    make: Callable[[Any], Scan[Any, Any] | None],
    *,
    restart: str = "fresh",
    config: ScanConfig | Mapping[str, Any] | None = None,
) -> Stream:
    """Each item of an iterable to the scan of its key, and their values in lists, with their keys.

    Args:
        source: the items.
        key: whose an item is: a function that returns something hashable.
        make: makes the scan of a key; None when its items are to be dropped.
        restart: what becomes of items of a key whose scan is done: ``"fresh"``, ``"ignore"`` or
            ``"error"``, as for `actorflow.stages.scans.DemuxStage`.
        config: how scans are run.

    Returns:
        a stream of lists of tuples of a key and a value, none of which is empty.

    Raises:
        OptionError: an argument breaks its rule.

    Example:
        >>> from actorflow.stages.scans import length
        >>> words = ["ant", "ape", "bee"]
        >>> config = {"worker": "inline"}
        >>> with par_demux_scan(words, lambda word: word[0], lambda key: length(), config=config) \
as stream:
        ...     values = [value for values in stream for value in values]
        >>> sorted(values)
        [('a', 0), ('a', 1), ('a', 2), ('b', 0), ('b', 1)]

    Idea from: streamly's ``parDemuxScan``.
    """
    arguments = {"key": key, "make": make, "restart": restart}
    return _stream(source, DemuxToLists, arguments, config)


def _stream(
    source: Iterable[Any] | AsyncIterable[Any],
    stage: type[Stage],
    arguments: dict[str, Any],
    given: ScanConfig | Mapping[str, Any] | None,
) -> Stream:
    config = ScanConfig.of({} if given is None else given)
    stage.check_arguments(arguments)
    try:
        items = from_iterable(source, on_cancel="stop")
    except OptionError as error:
        raise OptionError("source", error.rule, error.value, error.hint) from error
    window = config.window or _UNLIMITED
    topology = (
        # What a scan raises, and what a crash of the stage leaves, is for whoever reads the stream.
        Topology("scans", supervisor=SupervisorOptions(max_restarts=0))
        .stage("source", items)
        .stage(
            "scans",
            stage,
            args={**arguments, "config": config},
            subscribe_to=[SubscribeTo("source", max_demand=window, min_demand=window // 2)],
        )
    )
    plan, outlet = with_stream(topology.plan(), "scans", stream_options("scans", {"max_demand": 1}))
    run = Run(plan, topology.runtime())
    return _ScanStream(run, run.handle, "scans", whole_run(run, outlet), owns_run=True)


class _ScanStream(Stream):
    """Raises what a scan did, and not what that means for the run, which nobody else has."""

    def _error(self, end: StreamEnd, outcome: Outcome | None) -> BaseException | None:
        if outcome is not None and outcome.status == "failed":
            return outcome.root_cause
        return super()._error(end, outcome)
