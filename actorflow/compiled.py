"""The hot modules may be compiled, by mypyc, from the same sources: see `hatch_build.py`.

Nothing depends on it: without a compiler every module is Python, and behaves the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from mypy_extensions import mypyc_attr
else:

    def mypyc_attr(**_: Any) -> Callable[[type], type]:
        """Tells mypyc what it needs to know of a class; Python itself needs nothing."""
        return lambda cls: cls


__all__ = ["core", "mypyc_attr"]


def core() -> str:
    """``"compiled"`` or ``"interpreted"``: what the modules on the path of every batch are.

    Example:
        >>> core() in ("compiled", "interpreted")
        True
    """
    from importlib.machinery import EXTENSION_SUFFIXES
    from importlib.util import find_spec

    spec = find_spec("actorflow.stage.machine")
    origin = spec.origin if spec is not None else None
    return "compiled" if (origin or "").endswith(tuple(EXTENSION_SUFFIXES)) else "interpreted"
