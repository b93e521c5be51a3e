"""Settings: frozen models; the environment is read only where ``from_env`` is called."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Mapping
from datetime import timedelta
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, BeforeValidator, ByteSize, ConfigDict, Field, ValidationError

from headrace.errors import ConfigError

_UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d|w)")
_CLOSE = 0.8  # of what difflib calls a ratio: above it names are the same but for a slip
_SECRET = re.compile("pass|secret|token|pwd", re.IGNORECASE)


def _duration(value: object) -> object:
    """Return text such as ``1h30m`` as a duration; anything else as it is."""
    if not isinstance(value, str):
        return value
    parts = _PART.findall(value)
    if not parts or "".join(number + unit for number, unit in parts) != value:
        msg = f"expected a duration such as '100ms' or '1h30m', got {value!r}"
        raise ValueError(msg)
    return timedelta(seconds=sum(float(number) * _UNITS_S[unit] for number, unit in parts))


def _none(value: object) -> object:
    """Return None for the texts that mean no bound."""
    return None if isinstance(value, str) and value.lower() in {"", "none", "unlimited"} else value


Duration = Annotated[timedelta, BeforeValidator(_duration)]
Bytes = Annotated[ByteSize, Field(gt=0)]


class Settings(BaseModel):
    """Base of the groups of settings: frozen, unknown names refused, secrets hidden."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    @classmethod
    def of(cls, **values: object) -> Self:
        """Return validated settings.

        Raises:
            ConfigError: a name is unknown or a value is wrong; all of them are listed.
        """
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise ConfigError(_message(cls.__name__, error)) from error

    @classmethod
    def from_env(cls, prefix: str = "HEADRACE_", environ: Mapping[str, str] | None = None, **values: object) -> Self:
        """Return settings from environment variables such as ``HEADRACE_DATA_DIR``.

        ``values`` win over the environment. Other parts read the same prefix: a variable that names no setting is
        left alone, unless its name is so close to that of a setting that it must be one misspelt.

        Raises:
            ConfigError: a name is misspelt or a value is wrong; all of them are listed, by their variables.
        """
        source = os.environ if environ is None else environ
        variables = {name: prefix + name.upper() for name in cls.model_fields}
        _refuse_misspelt(source, prefix, variables.values())
        found = {name: source[variable] for name, variable in variables.items() if variable in source}
        try:
            return cls.model_validate({**found, **values})
        except ValidationError as error:
            shown = {name: variables[name] for name in found if name not in values}
            raise ConfigError(_message(cls.__name__, error, shown)) from error


class WorkerSettings(Settings):
    """How an embedded worker runs.

    >>> WorkerSettings.of(checkpoint_interval="250ms", cache_bytes="128MiB").cache_bytes
    134217728
    """

    data_dir: Path = Path(".headrace")
    """The directory of state, log and positions; one worker process owns it."""
    partitions: Annotated[int, Field(ge=1, le=1024)] = 4
    """Partitions of topics and tasks. Fixed when the data directory is made."""
    cache_bytes: Bytes = ByteSize(64 << 20)
    """Bound of the state held in memory between checkpoints, for each topology."""
    checkpoint_interval: Annotated[Duration, Field(gt=timedelta(0))] = timedelta(milliseconds=100)
    """How often outputs, state and positions are written."""
    read_bytes: Bytes = ByteSize(1 << 19)
    """How much of one input is read at a time."""
    max_record_bytes: Bytes = ByteSize(64 << 20)
    """Longest line that is taken whole; a longer one is cut and becomes a dead letter."""
    fsync: bool = True
    """Wait for the disk at each checkpoint: off, a power cut may take back the newest checkpoints."""
    log_retention: Annotated[Duration | None, BeforeValidator(_none)] = timedelta(days=7)
    """How long the log keeps records that every topology of the worker has read; None: for ever."""
    log_retention_bytes: Annotated[Bytes | None, BeforeValidator(_none)] = None
    """How much the log keeps of each partition, as far as it has been read; None: no bound."""
    block_cache_bytes: Bytes = ByteSize(32 << 20)
    """RocksDB's cache of blocks read."""


def _refuse_misspelt(environ: Iterable[str], prefix: str, known: Collection[str]) -> None:
    """Refuse variables whose names are close to those of settings, and are none's."""
    lines = []
    for name in sorted(set(environ) - set(known)):
        close = get_close_matches(name.removeprefix(prefix), [one.removeprefix(prefix) for one in known], 1, _CLOSE)
        if prefix and name.startswith(prefix) and close:
            lines.append(f"  {name}: there is no such setting. Did you mean {prefix}{close[0]}?")
    if lines:
        msg = "the environment has names that are misspelt:\n" + "\n".join(lines)
        raise ConfigError(msg)


def _message(model: str, error: ValidationError, variables: Mapping[str, str] | None = None) -> str:
    """List the faults; ``variables`` are those of the environment that settings came from."""
    lines = []
    for fault in error.errors():
        name = ".".join(str(part) for part in fault["loc"]) or "settings"
        name = (variables or {}).get(name, name)
        # An unknown name may be that of a password, misspelt.
        shown = fault["type"] != "extra_forbidden" and not _SECRET.search(name)
        text = "expected on or off" if fault["type"] == "bool_parsing" else fault["msg"]
        lines.append(f"  {name}: {text}" + (f", got {fault.get('input')!r}" if shown else ""))
    return f"{model}: {len(lines)} wrong setting{'s' if len(lines) > 1 else ''}:\n" + "\n".join(lines)
