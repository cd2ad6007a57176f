"""The files in examples/ run, end by themselves and print what examples/README.md shows.

Scenario 120, every documentation example runs, is the sum of three: `test_pages` for the README and
docs/, `test_docstrings` for what is in the code, and this. Nothing that looks like an example is
left out of all three.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.pages import EXECUTED, ROOT, blocks, pages

EXAMPLES = ROOT / "examples"
README = EXAMPLES / "README.md"
LONGEST = 90
"""Lines of a short file."""


def shown() -> dict[str, str]:
    """What the page says that each file prints."""
    found = {}
    for block in blocks(README):
        command, _, output = block.text.partition("\n")
        name = command.removeprefix("$ python examples/")
        assert name != command, f"{README}:{block.line}: {command!r} runs no example"
        found[name] = output
    return found


FILES = sorted(path.name for path in EXAMPLES.glob("*.py"))


@pytest.mark.processes
@pytest.mark.parametrize("name", FILES)
def test_s120_an_example_prints_what_the_page_says(name: str, tmp_path: Path) -> None:
    """From another folder, by its path alone, with nothing prepared."""
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / name)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert (done.stdout, done.returncode) == (shown()[name], 0), done.stderr
    assert list(tmp_path.iterdir()) == []


def test_s120_the_page_lists_every_example() -> None:
    """Each with a link, a sentence and what it prints; and nothing that is not there."""
    linked = re.findall(r"^\| \[(\w+\.py)\]\(\1\) \| .+ \|$", README.read_text(), re.MULTILINE)
    assert sorted(linked) == sorted(shown()) == FILES
    assert "(../examples/README.md)" in (ROOT / "docs" / "index.md").read_text()


@pytest.mark.parametrize("name", FILES)
def test_an_example_is_short_and_says_what_it_shows(name: str) -> None:
    """Its docstring has a sentence, an explanation and the command."""
    text = (EXAMPLES / name).read_text()
    assert len(text.splitlines()) <= LONGEST
    first, *_, command = text.split('"""')[1].strip().split("\n\n")
    assert first.endswith(".")
    assert command.strip() == f"$ python examples/{name}"


def test_s120_every_page_is_read_by_somebody() -> None:
    """Each Markdown file with a block that could be run is one of those that the tests read."""
    read = {*pages(), README}
    unread = [
        path.relative_to(ROOT)
        for path in ROOT.rglob("*.md")
        if not path.relative_to(ROOT).parts[0].startswith((".", "build"))
        and path not in read
        and any(block.language in EXECUTED for block in blocks(path))
    ]
    assert unread == []


def test_s120_every_docstring_example_is_run_or_only_shown() -> None:
    """An example under ``Example:`` has prompts, so that doctest runs it; ``Example::`` is shown.

    Whoever writes an example without either would believe that it is tested.
    """
    unsure = []
    for path in (ROOT / "actorflow").rglob("*.py"):
        text = path.read_text()
        for found in re.finditer(r"^( *)Example:\n((?:\1    .*\n|\n)+)", text, re.MULTILINE):
            if ">>>" not in found.group(2):
                line = text.count("\n", 0, found.start()) + 1
                unsure.append(f"{path.relative_to(ROOT)}:{line}")
    assert unsure == []
