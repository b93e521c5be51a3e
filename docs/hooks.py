"""Serve the source files that pages link to, so that a link works in the repository and on the site.

A page says ``[stream.py](../src/headrace/topology/stream.py)``, which is right in the repository. The
site has no such path above its root: it gets a copy of the sources under ``src/``.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from mkdocs.structure.files import File

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).parent.parent
SOURCE_LINK = re.compile(r"\]\(((?:\.\./)*)\.\./((?:src|schemas|topologies|workers|benchmarks|examples)/[^)\s]*)\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add every source file that a page links to."""
    for page in list(files.documentation_pages()):
        for _, path in SOURCE_LINK.findall(page.content_string):
            if (ROOT / path).is_file() and files.get_file_from_path(path) is None:
                files.append(File.generated(config, path, abs_src_path=str(ROOT / path)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Point links to source files at the copies."""
    return SOURCE_LINK.sub(r"](\1\2)", markdown)
