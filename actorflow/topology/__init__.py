"""Topologies: declared in YAML or Python, checked as a whole, compiled to the supervisor's plan."""

from actorflow.topology.description import KeyDescription, describe_keys
from actorflow.topology.model import (
    Defaults,
    StageDeclaration,
    SubscribeTo,
    SupervisorOptions,
    Topology,
)
from actorflow.topology.render import problem_rows
from actorflow.topology.yaml import load, loads

__all__ = [
    "Defaults",
    "KeyDescription",
    "StageDeclaration",
    "SubscribeTo",
    "SupervisorOptions",
    "Topology",
    "describe_keys",
    "load",
    "loads",
    "problem_rows",
]
