"""The tree of errors: drawn as it is, imported by area, and shown under one name."""

from __future__ import annotations

import pickle
import re

import pytest

import actorflow
from actorflow import errors


def drawn() -> dict[str, set[str]]:
    """The bases of each error in the drawing: the one it hangs from, and those in brackets."""
    path: list[str] = []
    found: dict[str, set[str]] = {}
    for line in (errors.__doc__ or "").splitlines():
        if match := re.match(r"    ((?:│   |    )*)[├└]── (\w+)(?: \(also (\w+)\))?", line):
            del path[1 + len(match[1]) // 4 :]
            found[match[2]] = {path[-1], *filter(None, [match[3]])}
            path.append(match[2])
        elif line.strip() == "ActorflowError":
            path = ["ActorflowError"]
            found["ActorflowError"] = {"Exception"}
    return found


def test_the_drawing_is_the_tree() -> None:
    """Every exception hangs in the drawing from what it derives from; nothing else is drawn."""
    classes = [getattr(errors, name) for name in errors.__all__]
    derived = [each for each in classes if issubclass(each, BaseException)]
    assert drawn() == {
        each.__name__: {base.__name__ for base in each.__bases__} for each in derived
    }


@pytest.mark.parametrize("name", errors.__all__)
def test_tracebacks_and_pickles_name_the_package(name: str) -> None:
    """Whichever area an error is in, it is `actorflow.errors.NAME`; Problem is a record in one."""
    value = getattr(errors, name)
    assert getattr(actorflow, name) is value
    assert pickle.loads(pickle.dumps(value)) is value
    if issubclass(value, BaseException):
        assert value.__module__ == "actorflow.errors"


def test_an_error_of_somebody_else_keeps_its_module() -> None:
    """Only what is in the package shows itself as the package."""

    class Own(errors.ActorflowError):
        pass

    assert Own.__module__ == __name__


def test_an_unknown_error_is_an_attribute_error() -> None:
    """A typing mistake fails as for any module."""
    with pytest.raises(AttributeError, match="no attribute 'OptionErorr'"):
        _ = errors.OptionErorr
