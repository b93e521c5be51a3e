"""``headrace init``."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.cli.commands import ROOT, environment, headrace


def test_a_new_fleet_has_the_reference_shape(tmp_path: Path) -> None:
    done = headrace("init", "My Shop", cwd=tmp_path)
    fleet = tmp_path / "My Shop"
    assert done.code == 0
    assert done.err.endswith("README.md says how to test and run it\n")  # all that it needs is installed here
    assert f"pip install -e '{ROOT}[embedded,query]' pytest\n" in (fleet / "README.md").read_text()
    assert {path.name for path in fleet.iterdir()} == {
        ".gitignore",
        "README.md",
        "data",
        "pyproject.toml",
        "schemas",
        "tests",
        "topologies",
        "workers",
    }
    assert 'name = "my-shop"' in (fleet / "pyproject.toml").read_text()
    assert not [path for path in fleet.rglob("*") if path.is_file() and "{{" in path.read_text()]


def test_the_tests_of_a_new_fleet_pass(tmp_path: Path) -> None:
    headrace("init", "fleet", cwd=tmp_path)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=tmp_path / "fleet",
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "2 passed" in done.stdout


def test_a_new_fleet_runs_as_its_readme_says(tmp_path: Path) -> None:
    headrace("init", "fleet", cwd=tmp_path)
    fleet = tmp_path / "fleet"
    commands = [
        line.split()[1:] for line in (fleet / "README.md").read_text().splitlines() if line.startswith("headrace ")
    ]
    plan, run, query = commands[:3]
    assert headrace(*plan, cwd=fleet).code == 0
    done = headrace(*run, cwd=fleet)
    assert (done.code, len(done.out.splitlines())) == (0, 3)
    assert "25.00" in headrace(*query, cwd=fleet).out


def test_the_code_of_a_new_fleet_is_clean(tmp_path: Path) -> None:
    headrace("init", "fleet", cwd=tmp_path)
    ruff = [sys.executable, "-m", "ruff", "check", "--isolated", "--select", "E,F,I,W", "--line-length", "120", "."]
    done = subprocess.run(ruff, cwd=tmp_path / "fleet", capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "All checks passed!\n")


def test_a_directory_with_something_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("mine")
    done = headrace("init", str(tmp_path), cwd=tmp_path)
    assert done.code == 2
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
