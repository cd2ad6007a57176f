"""``actorflow check``: every mistake of a topology at once."""

from __future__ import annotations

import argparse
import json
import sys
from contextlib import nullcontext, redirect_stdout

from actorflow.cli.output import Unbreakable, print_out
from actorflow.errors import TopologyError
from actorflow.supervision.specs import Plan
from actorflow.topology.render import problem_rows
from actorflow.topology.untaken import untaken
from actorflow.topology.yaml import load

__all__ = ["check", "show_problems", "what_stands_still"]

MISTAKE = 2


def check(options: argparse.Namespace) -> int:
    """Check a topology; returns the exit code."""
    output = sys.stdout
    try:
        # What the stages' modules print when they are imported must not get into the list.
        with redirect_stdout(sys.stderr) if options.json else nullcontext():
            topology = load(options.file, overrides=options.overrides)
    except TopologyError as error:
        if options.json:
            print_out(json.dumps(problem_rows(error.problems)), output)
        else:
            show_problems(error)
        return MISTAKE
    processes = sum(stage.replicas for stage in topology.stages)
    found = f"{options.file}: ok, {len(topology.stages)} stages in {processes} processes"
    Unbreakable(sys.stderr).write(what_stands_still(topology.plan()))
    return 0 if print_out("[]" if options.json else found, output) else MISTAKE


def what_stands_still(plan: Plan) -> str:
    """A line for each stage that a command cannot bring to do anything, as nobody takes from it."""
    return "".join(
        f"actorflow: stage {name!r} will stand still, as nobody takes its events;"
        " have a stage subscribe to it, or make it a Consumer\n"
        for name in untaken(plan)
    )


def show_problems(error: TopologyError) -> None:
    """Print every mistake, and how many there are, to standard error."""
    errors = Unbreakable(sys.stderr)
    for problem in error.problems:
        errors.write(f"{problem}\n")
    count = len(error.problems)
    errors.write(f"{count} mistake{'' if count == 1 else 's'}\n")
