"""Dynamic supervisors: room for a child, its name, its shard, its standing subscriptions."""

from __future__ import annotations

import hashlib
from concurrent.futures import Future
from dataclasses import replace

from actorflow.errors import AlreadyStarted, NoSuchStage, OptionError, Refused
from actorflow.protocol.arguments import check_text
from actorflow.protocol.demand import SubscriptionOptions
from actorflow.protocol.identity import StageId
from actorflow.stage.behaviour import kind_of
from actorflow.supervision.children import Child, ChildInfo
from actorflow.supervision.core import SupervisorCore
from actorflow.supervision.nodes import Node, Standing
from actorflow.supervision.specs import ChildSpec, check_significance
from actorflow.supervision.waiting import when_all
from actorflow.supervision.wiring import Edge

__all__ = ["admit", "children_of", "full_name", "lookup", "shard_of", "subscribe_all", "wire"]


def full_name(supervisor: str, name: str) -> str:
    """The stage's name of a dynamic supervisor's child: names are its own, and stages' are not.

    Raises:
        OptionError: the name cannot be a part of a stage's.

    Example:
        >>> full_name("jobs", "17"), full_name("jobs/1", "17")
        ('jobs.17', 'jobs.17')
    """
    given: object = name
    if not isinstance(given, str) or not _is_name(given):
        rule = "a text of 1 to 200 printable characters without / and #"
        raise OptionError("name", rule, name)
    return f"{supervisor.partition('/')[0]}.{name}"


def _is_name(text: str) -> bool:
    plain = text.isprintable() and text == text.strip() and not set(text) & set("/#")
    return plain and 0 < len(text) <= 200


def shard_of(name: str, shards: int) -> int:
    """The shard that a name belongs to: the one whose hash with it is largest.

    It depends on the name and the number of shards alone. With one shard more, only those names
    move that the new one takes: the idea is rendezvous hashing (Thaler and Ravishankar).

    Args:
        name: the child's name.
        shards: how many there are, from 1.

    Example:
        >>> [shard_of(f"job-{number}", 3) for number in range(6)]
        [1, 0, 1, 0, 2, 2]
    """

    def weight(shard: int) -> bytes:
        return hashlib.blake2b(f"{shard} {name}".encode(), digest_size=8).digest()

    return max(range(shards), key=weight) if shards > 1 else 0


def admit(core: SupervisorCore, spec: ChildSpec) -> ChildSpec:
    """What to start, in the right shard, when there is room for it.

    Raises:
        AlreadyStarted: a child of that name exists.
        Refused: ``overloaded``: as many children as may be exist, those included that are about to
            be started again. ``noproc``: the supervisor has ended.
        NoSuchStage: there is no such supervisor.
        OptionError: it is significant, and its supervisor does not shut down by itself.
    """
    node = core.tree.node(spec.supervisor)
    check_significance(spec, node.spec.auto_shutdown)
    holder = core.children.get(spec.stage.id)
    if holder is not None:
        state = holder.state.name.lower()
        detail = f"{spec.stage.id} is {state} as process {holder.pid}"
        raise AlreadyStarted(detail, ChildInfo.of(holder))
    if node.gone:
        raise Refused("noproc", f"the supervisor {node.name!r} has ended")
    if node.dynamic is None:
        return spec
    whole = _whole(node)
    assert whole.dynamic is not None
    limit = whole.dynamic.max_children
    there = sum(len(shard.members) for shard in whole.shards)
    if limit is not None and there >= limit:
        raise Refused("overloaded", f"{whole.name!r} has {there} children, max_children={limit}")
    if node is whole:
        name = spec.stage.id.name.removeprefix(f"{whole.name}.")
        node = whole.shards[shard_of(name, len(whole.shards))]
    return replace(spec, supervisor=node.name)


def wire(core: SupervisorCore, child: Child) -> None:
    """Subscribe a child that is about to start to what its supervisor is subscribed to."""
    node: Node | None = core.tree.leaf(child.id).parent if _takes_events(child) else None
    while node is not None and node.dynamic is not None:
        for standing in node.subscriptions:
            for producer in _replicas(core, standing.producer):
                core.wiring.add(Edge(child.id, producer.id, standing.options))
        node = node.parent


def lookup(core: SupervisorCore, supervisor: str, name: str) -> Child:
    """The child of that name.

    Raises:
        NoSuchStage: there is no such supervisor, or it has no such child.
    """
    node = core.tree.node(supervisor)
    child = core.children.get(StageId(full_name(supervisor, name)))
    if child is None or not _is_below(core.tree.leaf(child.id).parent, node):
        raise NoSuchStage(f"supervisor {supervisor!r} has no child {name!r}")
    return child


def children_of(core: SupervisorCore, supervisor: str) -> list[Child]:
    """Every child below a supervisor, in start order.

    Raises:
        NoSuchStage: there is no such supervisor.
    """
    return [core.children[leaf.stage] for leaf in core.tree.node(supervisor).leaves]


def subscribe_all(
    core: SupervisorCore, supervisor: str, producer: str, options: SubscriptionOptions
) -> Future[None]:
    """Subscribe every child of a dynamic supervisor, one by one, and every one to come.

    Args:
        core: the supervisor.
        supervisor: a dynamic supervisor, or one shard of it.
        producer: the stage to take events from; all its replicas.
        options: of each subscription.

    Returns:
        a future that is done once the producers have accepted all of them.

    Raises:
        NoSuchStage: there is no such supervisor or stage.
        Refused: ``not_dynamic``: the supervisor is none. ``not_a_producer``, ``cycle``: its
            children cannot take events from that stage.
    """
    node = core.tree.node(supervisor)
    if node.dynamic is None:
        raise Refused("not_dynamic", f"the children of {supervisor!r} subscribe one by one")
    sources = _replicas(core, producer)
    takers = [child for child in children_of(core, supervisor) if _takes_events(child)]
    for child in takers:
        if any(core.wiring.reaches(child.id, source.id) for source in sources):
            raise Refused("cycle", f"{child.id} already feeds {producer!r}")
    node.subscriptions.append(Standing(producer, options))
    edges = [Edge(child.id, source.id, options) for child in takers for source in sources]
    waiting: list[Future[int]] = []
    for edge in edges:
        core.wiring.add(edge)
        accepted: Future[int] = Future()
        waiting.append(accepted)
        core.established.add(edge, accepted)
        core.connect(edge)
    return when_all(waiting)


def _replicas(core: SupervisorCore, producer: str) -> list[Child]:
    check_text("to", producer, "a stage's name, such as 'count' or 'count/1'")
    name, _, index = producer.partition("/")
    found = [
        child
        for child in core.children.values()
        if child.id.name == name and (not index or str(child.id.index) == index)
    ]
    if not found:
        raise NoSuchStage(f"there is no stage {producer!r}")
    if kind_of(found[0].spec.stage.behaviour) == "consumer":
        raise Refused("not_a_producer", f"{producer!r} is a consumer, nobody can subscribe to it")
    return found


def _takes_events(child: Child) -> bool:
    return kind_of(child.spec.stage.behaviour) != "producer"


def _whole(node: Node) -> Node:
    """The dynamic supervisor that a shard is a part of, or the node itself."""
    parent = node.parent
    return parent if parent is not None and parent.dynamic is not None else node


def _is_below(node: Node | None, above: Node) -> bool:
    while node is not None and node is not above:
        node = node.parent
    return node is above
