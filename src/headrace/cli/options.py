"""Texts of the command line to values. All raise ConfigError naming the option."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from headrace.errors import ConfigError
from headrace.topology.duration import duration_ms

Target = Annotated[
    str,
    typer.Argument(
        metavar="TARGET",
        help="Where the topologies are: package.module:topology, package.module, path/file.py or path/file.py:name.",
    ),
]
DataDir = Annotated[
    Path,
    typer.Option("--data-dir", envvar="HEADRACE_DATA_DIR", help="Directory of the log, the state and the positions."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")]

DEFAULT_DATA_DIR = Path(".headrace")
INTERRUPTED = 130
"""The exit code after Ctrl-C."""
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmg]?)i?b?", re.IGNORECASE)
_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
_PORTS = range(1 << 16)


def parse_size(text: str, option: str) -> int:
    """Return a size such as ``64MB`` in bytes; units are powers of 1024."""
    match = _SIZE.fullmatch(text.strip())
    size = int(float(match[1]) * _UNITS[match[2].lower()]) if match else 0
    if size <= 0:
        msg = f"{option}: expected a size such as 64MB or 1GB, got {text!r}"
        raise ConfigError(msg)
    return size


def parse_duration(text: str, option: str) -> int:
    """Return a duration such as ``100ms`` in milliseconds, at least 1."""
    try:
        duration = duration_ms(text, option)
    except ValueError as error:
        msg = f"{option}: expected a duration such as 100ms, 90s or 1h30m, got {text!r}"
        raise ConfigError(msg) from error
    if duration <= 0:
        msg = f"{option}: expected a duration above zero, got {text!r}"
        raise ConfigError(msg)
    return duration


def parse_pairs(texts: Iterable[str], option: str) -> dict[str, list[str]]:
    """Return the ``topic=path`` texts by topic; a topic may come several times."""
    pairs: dict[str, list[str]] = {}
    for text in texts:
        topic, equals, path = text.partition("=")
        if not (topic and equals and path):
            msg = f"{option}: expected TOPIC=PATH, got {text!r}"
            raise ConfigError(msg)
        pairs.setdefault(topic, []).append(path)
    return pairs


def parse_outputs(texts: Iterable[str], option: str) -> dict[str, str]:
    """Return the ``topic=path`` texts by topic; a topic comes once."""
    pairs = parse_pairs(texts, option)
    for topic, paths in pairs.items():
        if len(paths) > 1:
            msg = f"{option}: topic {topic!r} has several places: {', '.join(paths)}. Name one."
            raise ConfigError(msg)
    return {topic: paths[0] for topic, paths in pairs.items()}


def parse_address(text: str, option: str) -> tuple[str, int]:
    """Return host and port of ``HOST:PORT``; an IPv6 host stands in brackets. Port 0 takes a free one."""
    host, colon, port = text.rpartition(":")
    if not (colon and host and port.isascii() and port.isdigit() and int(port) in _PORTS):
        msg = f"{option}: expected HOST:PORT such as 127.0.0.1:8642, got {text!r}"
        raise ConfigError(msg)
    return host.strip("[]"), int(port)


def parse_time(text: str, option: str) -> datetime:
    """Return a time in ISO 8601 as aware UTC; one without an offset is taken as UTC."""
    try:
        time = datetime.fromisoformat(text)
    except ValueError as error:
        msg = f"{option}: expected a time such as 2024-01-31T12:00:00Z, got {text!r}"
        raise ConfigError(msg) from error
    return (time if time.tzinfo else time.replace(tzinfo=UTC)).astimezone(UTC)
