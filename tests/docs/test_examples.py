"""Every ``python`` block of the README and the documentation runs, the blocks of one page in order.

A block with ``title="name.py"`` is also saved under that name in the page's working directory, so that
later blocks can import it. A block fenced as ``py`` is shown only. The commands of a ``console`` block run
if the line before it is ``<!-- run -->``. A block behind ``<!-- output -->`` is what the block before it printed,
commands on stderr first; ``...`` stands for any text.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from doctest import ELLIPSIS, OutputChecker
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
FENCE = re.compile(
    r"(?:^<!-- (?P<mark>run|output) -->\n)?"
    r"^(?P<indent> *)(?P<ticks>`{3,})(?P<info>[^`\n]*)\n(?P<body>.*?)^ *(?P=ticks) *$",
    re.M | re.S,
)
TITLE = re.compile(r'title="([^"]+)"')


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, title, and text with as many newlines before it as on the page."""

    language: str
    title: str | None
    text: str
    line: int
    mark: str | None


def blocks(page: Path) -> Iterator[Block]:
    text = page.read_text(encoding="utf-8")
    for found in FENCE.finditer(text):
        words = found["info"].split()
        title = TITLE.search(found["info"])
        indent = len(found["indent"])
        body = "".join(line[indent:] if line.strip() else line for line in found["body"].splitlines(keepends=True))
        line = text.count("\n", 0, found.start("body"))
        yield Block(words[0] if words else "", title and title[1], body, line, found["mark"])


def commands(block: Block) -> list[str]:
    """Return the commands after the prompts; a line that ends in a backslash goes on."""
    joined = block.text.replace("\\\n", " ")
    return [line.removeprefix("$ ") for line in joined.splitlines() if line.startswith("$ ")]


def execute(command: str, directory: Path) -> str:
    """Run a command as a reader would, with this interpreter's ``headrace``; return what it printed."""
    program = re.sub(r"(^|\| *)headrace\b", rf"\1{sys.executable} -m headrace.cli.main", command)
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", program],
        cwd=directory,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, f"$ {command}\n{done.stdout}{done.stderr}"
    return done.stderr + done.stdout


def pages() -> list[Path]:
    return [page for page in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))) if page.exists()]


def with_examples() -> list[Path]:
    return [page for page in pages() if any(block.language == "python" for block in blocks(page))]


@pytest.mark.parametrize("page", with_examples(), ids=lambda page: str(page.relative_to(ROOT)))
def test_the_examples_of_a_page_run_in_order(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)
    # A real module, so that schemas declared on the page can resolve their annotations.
    module = ModuleType(f"page_{page.stem.replace('-', '_')}")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    printed = ""
    try:
        for block in blocks(page):
            if block.mark == "output":
                assert OutputChecker().check_output(block.text, printed, ELLIPSIS), f"line {block.line}:\n{printed}"
                continue
            if block.title is not None:
                (tmp_path / block.title).parent.mkdir(parents=True, exist_ok=True)
                (tmp_path / block.title).write_text(block.text, encoding="utf-8")
            if block.language == "python":
                code = compile("\n" * block.line + block.text, str(page), "exec", dont_inherit=True)
                exec(code, module.__dict__)
                printed = capsys.readouterr().out
            if block.mark == "run":
                printed = "".join(execute(command, tmp_path) for command in commands(block))
    finally:
        for name in set(sys.modules) - before:
            if str(getattr(sys.modules[name], "__file__", None) or "").startswith(str(tmp_path)):
                del sys.modules[name]


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_the_relative_links_of_a_page_lead_to_files(page: Path) -> None:
    prose = FENCE.sub("", page.read_text(encoding="utf-8"))
    targets = re.findall(r"\]\((?!https?:|mailto:|#)([^)#\s]+)[^)]*\)", prose)
    assert [target for target in targets if not (page.parent / target).exists()] == []
