"""Commands without the extra that they need: one line that says what to install."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.commands import environment

KAFKA = ("aiokafka", "faust", "mode", "rocksdict")
BROKERS = ("--brokers", "127.0.0.1:9")


def without(modules: tuple[str, ...], args: tuple[str, ...], directory: Path) -> tuple[int, str]:
    """Run the command line where modules are not installed; return the exit code and stderr."""
    program = (
        "import sys\n"
        f"sys.modules.update(dict.fromkeys({modules!r}))\n"  # None: not to be found
        "from headrace.cli.main import main\n"
        "main()\n"
    )
    command = [sys.executable, "-c", program, *args]
    done = subprocess.run(
        command, cwd=directory, env=environment(), capture_output=True, text=True, timeout=60, check=False
    )
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    "args",
    [
        ("worker", "shop.py", *BROKERS),
        ("topics", "plan", "shop.py", *BROKERS),
        ("topics", "create", "shop.py", *BROKERS),
        ("dlq", "list", *BROKERS),
        ("dlq", "show", "shop", "1", *BROKERS),
        ("dlq", "replay", "shop", *BROKERS),
    ],
    ids=" ".join,
)
def test_commands_on_kafka_name_their_extra(fleet: Path, args: tuple[str, ...]) -> None:
    code, told = without(KAFKA, args, fleet)
    assert code == 2
    assert told.splitlines()[-1].startswith("headrace: ")
    assert told.endswith("not installed: pip install 'headrace[kafka]'\n")
    assert "Traceback" not in told


@pytest.mark.parametrize(
    ("modules", "args", "extra"),
    [
        (("rocksdict",), ("run", "shop.py", "--input", "orders=orders.ndjson"), "embedded"),
        (("rocksdict",), ("topics", "list"), "embedded"),
        (("fastapi", "uvicorn"), ("run", "shop.py", "--http", "127.0.0.1:0"), "query"),
        (("pyarrow",), ("run", "shop.py", "--input", "orders=orders.parquet"), "files"),
        (("zstandard",), ("run", "shop.py", "--input", "orders=orders.ndjson.zst"), "files"),
    ],
)
def test_other_commands_name_theirs(fleet: Path, modules: tuple[str, ...], args: tuple[str, ...], extra: str) -> None:
    (fleet / "orders.parquet").touch()
    (fleet / "orders.ndjson.zst").touch()
    (fleet / ".headrace").mkdir()
    if args[0] == "topics":
        (fleet / ".headrace/headrace.json").write_text('{"format": 1, "topologies": ["shop"]}')
    else:
        (fleet / ".headrace").rmdir()
    code, told = without(modules, args, fleet)
    assert code == 2
    assert told.endswith(f"pip install 'headrace[{extra}]'\n")
    assert "Traceback" not in told


def test_what_is_missing_to_the_user_is_no_extra(fleet: Path) -> None:
    (fleet / "shop.py").write_text("import aiokafka\n")
    code, told = without(KAFKA, ("plan", "shop.py"), fleet)
    assert code == 2
    assert "headrace[" not in told
