"""Peers in programs of their own: with a deadline, and none of their processes left behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psutil

__all__ = ["Unavailable", "answer_of", "answered", "say", "started"]

GONE_WITHIN = 5.0
"""Seconds for killed processes to be gone."""


class Unavailable(Exception):
    """A peer gave no answer; its text is why: not installed, hangs, or what it raised."""


@contextmanager
def started(module: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """A module as a program; when the block is left, however, it and all that it started are gone.

    Args:
        module: its name, ``benchmarks._queues``.
        arguments: its command line.
    """
    command = [sys.executable, "-W", "ignore", "-m", module, *map(str, arguments)]
    # In a session of its own, as Ctrl-C is for this process: it decides what becomes of the others.
    program = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        yield program
    finally:
        _end(program)


def answer_of(module: str, *arguments: object, seconds: float) -> Any:
    """What a module said with `say`.

    Args:
        module: its name.
        arguments: its command line.
        seconds: how long it may take.

    Raises:
        Unavailable: it said nothing.
    """
    with started(module, *arguments) as program:
        try:
            return answered(program, seconds)
        except subprocess.TimeoutExpired:
            raise Unavailable(f"no answer within {seconds:g} s") from None


def answered(program: subprocess.Popen[str], seconds: float | None = None) -> Any:
    """What a program said with `say`, once it has ended.

    Raises:
        Unavailable: it said why it has no answer, or nothing.
        subprocess.TimeoutExpired: it has not ended within so many seconds.
    """
    output, errors = program.communicate(timeout=seconds)
    lines = output.splitlines()
    if not lines:
        last = errors.strip().splitlines()
        raise Unavailable(last[-1] if last else f"ended with {program.returncode}")
    answer = json.loads(lines[-1])
    if "why" in answer:
        raise Unavailable(answer["why"])
    return answer["answer"]


def say(answer: Any = None, *, why: str = "") -> None:
    """Answer the program that started this one; or say why there is no answer."""
    print(json.dumps({"why": why} if why else {"answer": answer}), flush=True)


def _end(program: subprocess.Popen[str]) -> None:
    try:
        family = psutil.Process(program.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        family = []
    # Itself first: what it forks while others are looked for would be left.
    program.kill()
    program.wait()
    while family:
        for each in family:
            with suppress(psutil.NoSuchProcess):  # it has ended by itself
                each.kill()
        psutil.wait_procs(family, GONE_WITHIN)
        # What its death has left to init, and what that had forked, is still of its session.
        family = [each for each in psutil.process_iter() if _lives_in(program.pid, each)]
    for pipe in (program.stdout, program.stderr):
        if pipe is not None:
            pipe.close()


def _lives_in(session: int, process: psutil.Process) -> bool:
    try:
        zombie = process.status() == psutil.STATUS_ZOMBIE
        return os.getsid(process.pid) == session and not zombie
    except (psutil.Error, ProcessLookupError, PermissionError):
        return False
