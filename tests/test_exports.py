"""What is public: listed once, importable, documented, and the same for tools and at run time."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import actorflow

SOURCE = Path(actorflow.__file__).read_text()


def names_for_tools() -> set[str]:
    """What type checkers see: the imports under TYPE_CHECKING."""
    block = next(node for node in ast.parse(SOURCE).body if isinstance(node, ast.If))
    return {
        alias.asname or alias.name
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


def test_every_public_name_is_listed_once() -> None:
    """No name appears twice in the list of what is public."""
    assert len(actorflow.__all__) == len(set(actorflow.__all__))


def test_tools_and_run_time_agree() -> None:
    """Type checkers see exactly the names that can be imported."""
    assert names_for_tools() == set(actorflow.__all__)


@pytest.mark.parametrize("name", sorted(actorflow.__all__))
def test_every_public_name_is_there_and_documented(name: str) -> None:
    """Each public name can be imported from its home, lists it as public, and has a docstring."""
    value = getattr(actorflow, name)
    home = sys.modules[actorflow._HOME_OF[name]]
    assert name in home.__all__
    # A compiled class has lost its docstring; its source beside it has it.
    assert value.__doc__ or not str(home.__file__).endswith(".py")


def test_an_unknown_name_is_an_attribute_error() -> None:
    """A typing mistake fails as for any module."""
    with pytest.raises(AttributeError, match="no attribute 'Prodcuer'"):
        _ = actorflow.Prodcuer


def test_importing_is_cheap() -> None:
    """Importing actorflow imports none of its dependencies; names are imported when used."""
    code = (
        "import sys, actorflow; print(*sorted({'pykka', 'msgpack', 'structlog', 'psutil', 'yaml',"
        " 'cloudpickle'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
