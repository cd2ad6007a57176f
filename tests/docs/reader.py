"""Reads one page as a user would: ``python -m tests.docs.reader PAGE``, in an empty folder.

Block by block, in the order of the page:

* a block whose first line is a file's name (``# numbers.py``) becomes that file, or must be what
  the project's file of that name says, comments aside; a topology in it must load;
* other ``python`` blocks run in one namespace, which is ``__main__``, as if they were a script.
  What a ``print`` writes is compared with the comment behind it, and ``>>>`` with what follows;
* other ``yaml`` blocks are topologies, and must load;
* in ``console`` blocks the lines that begin with ``$`` are commands, and what follows is what they
  print (see `tests.docs.compare`).

Every difference is printed as ``PAGE:LINE: …``; the exit code says whether there was one.
"""

from __future__ import annotations

import ast
import contextlib
import doctest
import io
import os
import signal
import subprocess
import sys
import traceback
import types
from collections.abc import Iterator
from pathlib import Path

import structlog

from tests.docs.compare import agrees
from tests.docs.pages import ROOT, Block, blocks

__all__ = ["main"]

WITHIN = 45
"""Seconds that a block may take."""

_NEXT = "--- the next command ---"
_TOOL = """\
#!{python}
import sys, time, psutil

def named(name):
    found, until = [], time.monotonic() + 25
    while not found and time.monotonic() < until:
        for each in psutil.Process({reader}).children(recursive=True):
            try:
                if name in each.cmdline()[0]:
                    found.append(each.pid)
            except (psutil.Error, IndexError):
                pass
    return found

"""
_PGREP = """\
print(*named(sys.argv[-1]), sep="\\n")
"""
_SLEEP = """\
time.sleep(float(sys.argv[1]))
named("#1")
time.sleep(0.1)
"""
_DOCTEST = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


class Reader:
    """Goes through a page.

    Args:
        page: the Markdown file.
        folder: the folder to be in.
    """

    def __init__(self, page: Path, folder: Path) -> None:
        self.page = page
        self.folder = folder
        self.differences: list[str] = []
        self.script = types.ModuleType("__main__")
        # The stages' classes live here: what pickles them looks the module up by its name.
        sys.modules["__main__"] = self.script

    def read(self) -> None:
        """Read every block."""
        for block in blocks(self.page):
            if block.file is not None:
                self._keep(block, block.file)
            if block.language == "yaml":
                self._load(block)
            elif block.language == "python" and block.file is None:
                self._run(block)
            elif block.language == "console":
                self._type(block)

    def _differs(self, line: int, text: str) -> None:
        self.differences.append(f"{self.page.relative_to(ROOT)}:{line}: {text}")

    def _keep(self, block: Block, name: str) -> None:
        original = ROOT / name
        if not original.exists():
            (self.folder / name).write_text(block.text, encoding="utf-8")
        elif _without_comments(original.read_text(encoding="utf-8")) != _without_comments(
            block.text
        ):
            self._differs(block.line, f"is not what {name} says")

    # --- topologies ------------------------------------------------------------------------------

    def _load(self, block: Block) -> None:
        from actorflow import TopologyError
        from actorflow.topology.yaml import loads

        name = block.file or "topology.yaml"
        folder = (self.folder / name).parent
        try:
            loads(block.text, file=name, folder=str(folder)).plan()
        except TopologyError as error:
            self._differs(block.line, f"the topology has mistakes:\n{error}")

    # --- Python ----------------------------------------------------------------------------------

    def _run(self, block: Block) -> None:
        if block.text.lstrip().startswith(">>>"):
            self._run_examples(block)
            return
        # Blank lines in front, so that a traceback names the line of the page.
        source = "\n" * (block.line - 1) + block.text
        printed = io.StringIO()
        try:
            code = compile(source, str(self.page), "exec")
            with contextlib.redirect_stdout(printed), _limited():
                exec(code, vars(self.script))
        except Exception:  # noqa: BLE001  (an example may raise anything; it is told with its line)
            self._differs(block.line, f"raises\n{traceback.format_exc()}")
            return
        said = _said(source)
        if said and not agrees("\n".join(said), printed.getvalue()):
            self._differs(block.line, f"prints\n{printed.getvalue()}and not\n" + "\n".join(said))

    def _run_examples(self, block: Block) -> None:
        test = doctest.DocTestParser().get_doctest(
            block.text, vars(self.script), block.text.splitlines()[0], str(self.page), block.line
        )
        test.globs = vars(self.script)
        output: list[str] = []
        runner = doctest.DocTestRunner(optionflags=_DOCTEST)
        with _limited():
            runner.run(test, out=output.append, clear_globs=False)
        if output:
            self._differs(block.line, "".join(output))

    # --- commands --------------------------------------------------------------------------------

    def _type(self, block: Block) -> None:
        typed = _typed(block.text)
        script = f"\necho '{_NEXT}'\n".join(command for command, _ in typed)
        # A file, so that no command line but a stage's own has its name in it.
        session = self.folder / ".bin" / "session"
        session.write_text(script, encoding="utf-8")
        try:
            done = subprocess.run(
                ["bash", str(session)],
                cwd=self.folder,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                timeout=WITHIN,
                check=False,
            )
        except subprocess.TimeoutExpired as late:
            self._differs(block.line, f"does not end; it printed\n{late.output!r}")
            return
        output = done.stdout.decode(errors="replace")
        if any(command.endswith("&") for command, _ in typed):
            # What runs in the background prints when it likes.
            typed = [(script, "".join(shown for _, shown in typed))]
            output = output.replace(_NEXT + "\n", "")
        for (command, shown), text in zip(typed, output.split(_NEXT + "\n"), strict=True):
            if shown and not agrees(shown, text, numbers_vary=block.numbers_vary):
                self._differs(block.line, f"$ {command}\nprints\n{text}and not\n{shown}")


@contextlib.contextmanager
def _limited() -> Iterator[None]:
    """What loops for ever is interrupted, and so shows where it does."""

    def give_up(number: int, frame: object) -> None:
        raise TimeoutError(f"not over after {WITHIN} s")

    signal.signal(signal.SIGALRM, give_up)
    signal.alarm(WITHIN)
    try:
        yield
    finally:
        signal.alarm(0)


def _without_comments(text: str) -> list[str]:
    lines = (line.partition("#")[0].rstrip() for line in text.splitlines())
    return [line for line in lines if line]


def _said(source: str) -> list[str]:
    """What the comments behind ``print(…)`` say, in order."""
    lines = source.splitlines()
    calls = [
        node.end_lineno or 0
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "print"
    ]
    behind = (lines[number - 1].partition("  # ")[2] for number in sorted(calls))
    return [comment for comment in behind if comment]


def _typed(text: str) -> list[tuple[str, str]]:
    """The commands of a block, and what each is said to print."""
    typed: list[tuple[str, str]] = []
    for line in text.splitlines(keepends=True):
        if line.startswith("$ "):
            typed.append((line[2:].rstrip("\n"), ""))
        elif line.startswith("> ") and typed and not typed[-1][1]:
            typed[-1] = (typed[-1][0] + "\n" + line[2:].rstrip("\n"), "")
        elif typed:
            typed[-1] = (typed[-1][0], typed[-1][1] + line)
    return typed


def _prepare(folder: Path) -> None:
    """The commands and the folders that a page takes for granted."""
    (folder / "configs").symlink_to(ROOT / "configs")
    tools = folder / ".bin"
    tools.mkdir()
    # The machine is shared: `kill -9 $(pgrep …)` must find the processes of this page alone. And it
    # may be busy: after a `sleep`, what was started before it must have come up.
    for name, text in (("pgrep", _PGREP), ("sleep", _SLEEP)):
        tool = tools / name
        program = _TOOL.format(python=sys.executable, reader=os.getpid()) + text
        tool.write_text(program, encoding="utf-8")
        tool.chmod(0o755)
    os.environ["PATH"] = os.pathsep.join(
        [str(tools), str(Path(sys.executable).parent), os.environ["PATH"]]
    )
    os.environ["COLUMNS"] = "80"
    os.environ.pop("PYTHONPATH", None)


def main(arguments: list[str]) -> int:
    """Read a page in the current folder; returns the exit code."""
    folder = Path.cwd()
    _prepare(folder)
    sys.path.insert(0, str(folder))
    structlog.configure(logger_factory=structlog.WriteLoggerFactory(file=sys.stderr))
    reader = Reader(Path(arguments[0]), folder)
    reader.read()
    print(*reader.differences, sep="\n\n")
    return 1 if reader.differences else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
