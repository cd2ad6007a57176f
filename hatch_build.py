"""Compiles the hot modules into the wheel when ACTORFLOW_COMPILED=1 asks for it: `make compiled`.

Without it, and always in an editable installation, the wheel is pure Python and needs no compiler.
The sources are in the wheel in both cases; where a module is there twice, Python takes the compiled
one, and tracebacks show the lines of the other.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

_ASKED = "ACTORFLOW_COMPILED"


class CompilingHook(BuildHookInterface):
    """Adds an extension beside each module that is named in ``pyproject.toml``."""

    def dependencies(self) -> list[str]:
        """What compiling needs; nothing where nothing is compiled."""
        return ["mypy>=1.14", "setuptools>=65"] if self._wanted else []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, and say that the wheel is for this system and this Python alone."""
        if not self._wanted or version == "editable":
            return
        self._folder = tempfile.TemporaryDirectory(prefix="actorflow-compiled-")
        built, work = Path(self._folder.name) / "built", Path(self._folder.name) / "work"
        _compile(Path(self.root), self.config["modules"], built, work)
        build_data["pure_python"] = False
        build_data["infer_tag"] = True
        extensions = [path for path in built.rglob("*") if path.suffix in (".so", ".pyd")]
        build_data["force_include"] |= {
            str(path): path.relative_to(built).as_posix() for path in extensions
        }

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """The wheel has what was compiled."""
        if self._folder is not None:
            self._folder.cleanup()

    _folder: tempfile.TemporaryDirectory[str] | None = None

    @property
    def _wanted(self) -> bool:
        return os.environ.get(_ASKED) == "1"


def _compile(root: Path, modules: list[str], built: Path, work: Path) -> None:
    """Make an extension of each module of a source tree, and put them under `built`."""
    from mypyc.build import mypycify
    from setuptools import Distribution
    from setuptools.command.build_ext import build_ext

    before = Path.cwd()
    os.chdir(root)  # mypyc names modules by their paths from here
    try:
        # `make check` checks types; here nothing but the packages that compile need be installed.
        flags = ["--config-file=", "--ignore-missing-imports"]
        extensions = mypycify(
            [*flags, *modules], opt_level="3", target_dir=str(work), group_name="_actorflow"
        )
        command = build_ext(Distribution({"name": "actorflow", "ext_modules": extensions}))
        command.build_lib, command.build_temp = str(built), str(work)
        command.ensure_finalized()
        command.run()
    finally:
        os.chdir(before)
