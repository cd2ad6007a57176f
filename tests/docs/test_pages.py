"""Every example of the README and of docs/ does what the page says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.pages import EXECUTED, ROOT, blocks, pages

READ_WITHIN = 150.0
"""Seconds for a page: each of its blocks has its own limit, and a busy machine is slow."""


@pytest.mark.processes
@pytest.mark.timeout(READ_WITHIN + 10)
@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_a_page_keeps_its_word(page: Path, tmp_path: Path) -> None:
    """Its Python runs, its topologies load, its commands print what it shows."""
    if not any(block.language in EXECUTED for block in blocks(page)):
        return
    read = subprocess.run(
        [sys.executable, "-m", "tests.docs.reader", str(page)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=READ_WITHIN,
        check=False,
    )
    assert read.returncode == 0, f"{read.stdout}\n{read.stderr}"


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_a_page_has_no_block_that_nobody_reads(page: Path) -> None:
    """A fence names a language that is run, or one that is only shown."""
    shown = ("text", "sh")
    unknown = [b for b in blocks(page) if b.language not in (*EXECUTED, *shown)]
    assert unknown == []


def prose(page: Path) -> str:
    """A page without its blocks."""
    text = page.read_text(encoding="utf-8")
    return re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)


def anchors(page: Path) -> set[str]:
    """The headings of a page as GitHub makes anchors of them."""
    text = prose(page)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", each.lower()).replace(" ", "-") for each in headings}


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_a_pages_links_lead_somewhere(page: Path) -> None:
    """A relative link names a file of the project, and a heading in it."""
    text = prose(page)
    dead = []
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        if not file.exists() or (anchor and anchor not in anchors(file)):
            dead.append(target)
    assert dead == []


def test_every_page_is_on_the_map() -> None:
    """docs/index.md leads to each of its neighbours."""
    index = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    missing = [p.name for p in (ROOT / "docs").glob("*.md") if f"({p.name}" not in index]
    assert missing == ["index.md"]


def test_the_makefile_has_the_commands_that_pages_show() -> None:
    """``make …`` in a page is a target of the Makefile."""
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    shown = {
        target
        for page in pages()
        for block in blocks(page)
        if block.language == "sh"
        for target in re.findall(r"^make ([a-z]+)", block.text, re.MULTILINE)
    }
    assert {"run", "test"} <= shown <= targets
