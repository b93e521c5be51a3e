"""Bring the broker that the tests run: Java from the system, Kafka's jars by Maven, once per user.

Standard library only: ``scripts/kafka`` runs it without the virtual environment.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

POM = Path(__file__).with_name("pom.xml")
JAVA = 17  # the oldest Java that runs Kafka 4
_APT = ("default-jre-headless", "maven")
_INSTALL_S = 600


class Unavailable(Exception):
    """The broker cannot run here. The message says what is missing."""


def libraries() -> Path:
    """Return the directory of Kafka's jars; fetch what is missing first.

    Raises:
        Unavailable: Java or Maven is missing and cannot be installed, or Maven failed.
    """
    # The digest: a changed pom brings other jars, although the version is the same.
    digest = hashlib.sha256(POM.read_bytes()).hexdigest()[:8]
    directory = _cache() / f"kafka-{version()}-{digest}"
    require_java()
    if not directory.exists():
        directory.parent.mkdir(parents=True, exist_ok=True)
        with _only_one(directory.with_name(f"{directory.name}.lock")):
            if not directory.exists():
                _fetch(directory)
    return directory


def version() -> str:
    """Return the version of Kafka that the pom pins."""
    found = re.search(r"<kafka.version>(.+)</kafka.version>", POM.read_text(encoding="utf-8"))
    assert found
    return found[1]


def require_java() -> None:
    """Install Java and Maven where that is allowed.

    Raises:
        Unavailable: they are missing, or too old.
    """
    if not (shutil.which("java") and shutil.which("mvn")):
        _install()
    done = subprocess.run(["java", "-version"], capture_output=True, text=True, check=False, timeout=60)
    found = re.search(r'version "(\d+)', done.stderr)
    if not found or int(found[1]) < JAVA:
        raise Unavailable(f"Kafka {version()} needs Java {JAVA} or newer; found: {done.stderr.strip() or 'none'}")


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "headrace"


@contextmanager
def _only_one(lock: Path) -> Iterator[None]:
    """Let one process at a time in: test workers start together."""
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _install() -> None:
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise Unavailable(
            f"a real broker needs Java {JAVA} or newer and Maven (Debian: apt-get install {' '.join(_APT)})"
        )
    with _only_one(Path("/tmp/headrace-apt.lock")):
        if shutil.which("java") and shutil.which("mvn"):
            return
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for command in (["update", "-qq"], ["install", "-qq", "-y", "--no-install-recommends", *_APT]):
            _run(["apt-get", *command], environment)


def _fetch(directory: Path) -> None:
    partial = directory.with_name(f"{directory.name}.partial-{os.getpid()}")
    goal = ["dependency:copy-dependencies", f"-DoutputDirectory={partial}", "-DincludeScope=runtime"]
    try:
        _run(["mvn", "-q", "-B", "-f", str(POM), *goal], dict(os.environ))
        partial.rename(directory)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _run(command: list[str], environment: dict[str, str]) -> None:
    try:
        subprocess.run(
            command, env=environment, check=True, capture_output=True, text=True, timeout=_INSTALL_S, cwd=POM.parent
        )
    except subprocess.SubprocessError as error:
        output = getattr(error, "stdout", "") or ""
        raise Unavailable(f"{' '.join(command[:2])} failed: {error}\n{output[-2000:]}") from error
