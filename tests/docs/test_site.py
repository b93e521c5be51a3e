"""The built site: what its pages link to is there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LINK = re.compile(r'href="([^"#?]+)')


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "--site-dir", str(place)]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return place


@pytest.mark.slow
def test_every_link_within_the_site_leads_somewhere(site: Path) -> None:
    dead = []
    for page in site.rglob("*.html"):
        for target in LINK.findall(page.read_text(encoding="utf-8")):
            if re.match(r"[a-z]+:|//", target) or (page.name == "404.html"):
                continue
            place = (page.parent / target).resolve()
            if not (place.is_file() or (place / "index.html").is_file()):
                dead.append(f"{page.relative_to(site)}: {target}")
    assert dead == []


@pytest.mark.slow
def test_sources_that_pages_link_to_are_on_the_site_and_its_own_are_not(site: Path) -> None:
    assert (site / "src/headrace/topology/topology.py").is_file()
    assert not [path.name for path in site.glob("*.py")]
