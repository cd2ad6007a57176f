"""From ``module:Class`` to the class: importing, and saying why it did not work."""

from __future__ import annotations

import difflib
import importlib
import os
import pkgutil
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from importlib.machinery import PathFinder
from types import ModuleType

__all__ = ["CannotImport", "import_object", "on_import_path"]

_from_topology: set[str] = set()
"""Top-level modules that were imported because a topology's folder was on the import path."""


_folders: ContextVar[tuple[str, ...]] = ContextVar("actorflow_import_folders", default=())
"""The folders that `on_import_path` has put on the import path here."""


class CannotImport(Exception):
    """Why a name could not be resolved, as the end of a sentence; it never leaves this room."""


@contextmanager
def on_import_path(folders: Sequence[str]) -> Iterator[None]:
    """Put folders first on the import path for a while; afterwards it is what it was.

    Whatever the imported modules themselves do to ``sys.path`` is undone too.

    Args:
        folders: absolute paths, the first one is searched first.
    """
    before = list(sys.path)
    sys.path[:0] = folders
    token = _folders.set(tuple(folders))
    # A module file written a moment ago is not seen by the finders' cached listings.
    importlib.invalidate_caches()
    try:
        yield
    finally:
        _folders.reset(token)
        sys.path[:] = before


def import_object(target: str) -> object:
    """The object that ``module:name`` names; ``name`` may be dotted.

    Args:
        target: for example ``"wordcount:CountWords"``.

    Raises:
        CannotImport: with the reason: not of that form, no such module, no such name in it, or
            what the module raised.

    Example:
        >>> import_object("operator:neg")(3)
        -3
    """
    module_name, colon, name = target.partition(":")
    parts = name.split(".")
    if not colon or not all(part.isidentifier() for part in [*module_name.split("."), *parts]):
        raise CannotImport(f"must be 'module:name', got {target!r}{_with_colon(target)}")
    found: object = _import_module(module_name)
    where = f"module {module_name!r}"
    reached = module_name
    for part, separator in zip(parts, ":" + "." * len(parts), strict=False):
        try:
            found = getattr(found, part)
        except AttributeError:
            near = difflib.get_close_matches(part, [n for n in dir(found) if n[:1] != "_"], 1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise CannotImport(f"{where} has no {part!r}{hint}") from None
        reached += separator + part
        where = repr(reached)
    return found


def _with_colon(target: str) -> str:
    module, dot, name = target.rpartition(".")
    if ":" in target or not dot or not (module and name):
        return ""
    return f"; did you mean '{module}:{name}'?"


def _import_module(name: str) -> ModuleType:
    folders = _folders.get()
    _forget_namesake(name.partition(".")[0], folders)
    known = set(sys.modules)
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if name == missing or name.startswith(missing + "."):
            raise CannotImport(_no_module(missing, folders)) from None
        raise CannotImport(_raised(name, error)) from error
    # A module may raise anything, and may call sys.exit; only an interruption is not its fault.
    except (Exception, SystemExit) as error:
        raise CannotImport(_raised(name, error)) from error
    finally:
        _from_topology.update(_found_in(folders, set(sys.modules) - known))


def _found_in(folders: Sequence[str], names: set[str]) -> Iterator[str]:
    for name in names:
        file = getattr(sys.modules.get(name), "__file__", None)
        if "." not in name and file and any(_inside(file, folder) for folder in folders):
            yield name


def _inside(file: str, folder: str) -> bool:
    return os.path.abspath(file).startswith(os.path.join(os.path.abspath(folder), ""))


def _forget_namesake(name: str, folders: Sequence[str]) -> None:
    """Make room for this topology's module when another folder's of the same name is loaded.

    Two topologies in two folders may each have a ``stages.py``. Without this the second would
    silently run the first one's classes, while its child processes import the right ones.
    """
    loaded = sys.modules.get(name)
    if loaded is None or not folders:
        return
    spec = PathFinder.find_spec(name, list(folders))
    mine, theirs = spec.origin if spec else None, getattr(loaded, "__file__", None)
    if mine is None or theirs is None or os.path.abspath(mine) == os.path.abspath(theirs):
        return
    if name not in _from_topology:
        raise CannotImport(
            f"module {name!r} is {mine}, but this program has already imported another {name!r},"
            f" {theirs}; rename one of them"
        )
    for module in [each for each in sys.modules if each == name or each.startswith(name + ".")]:
        del sys.modules[module]


def _no_module(name: str, folders: Sequence[str]) -> str:
    parent, _, last = name.rpartition(".")
    paths = getattr(sys.modules.get(parent), "__path__", None) if parent else list(folders)
    siblings = [info.name for info in pkgutil.iter_modules(paths)] if paths else []
    near = difflib.get_close_matches(last, siblings, 1)
    if near:
        prefix = f"{parent}." if parent else ""
        return f"no module named {name!r}; did you mean {prefix + near[0]!r}?"
    if parent:
        return f"no module named {name!r}"
    return f"no module named {name!r}, neither beside the topology nor installed"


def _raised(module: str, error: BaseException) -> str:
    what = traceback.format_exception_only(error)[-1].strip()
    if isinstance(error, SyntaxError):
        where = f" ({error.filename}:{error.lineno})"
    else:
        # The innermost frame that is not the import system's own.
        machinery = (__file__, importlib.__file__)
        frames = [
            frame
            for frame in traceback.extract_tb(error.__traceback__)
            if frame.filename not in machinery and not frame.filename.startswith("<frozen")
        ]
        where = f" ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""
    return f"importing module {module!r} raised {what}{where}"
