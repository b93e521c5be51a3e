"""Names. Ids and topics become names of Kafka topics, so Kafka's rules hold for all of them."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial

MAX_ID = 200
"""Kafka takes 249 characters: the rest is left for what is put before and behind an id, as in ``shop.dead-letters``."""

MAX_TOPIC = 249

_LEGAL = re.compile(r"[A-Za-z0-9._-]+")
_RESERVED = (".", "..")

ID_RULE = f"letters, digits, '.', '_', '-', at most {MAX_ID}"
TOPIC_RULE = f"letters, digits, '.', '_', '-', at most {MAX_TOPIC}"


def is_id(value: object) -> bool:
    """Tell whether a topology or a step may have this name."""
    return is_topic(value) and len(str(value)) <= MAX_ID


def is_topic(value: object) -> bool:
    """Tell whether a Kafka topic may have this name."""
    if not isinstance(value, str) or value in _RESERVED:
        return False
    return len(value) <= MAX_TOPIC and _LEGAL.fullmatch(value) is not None


def callable_name(function: Callable[..., object]) -> str:
    """Return a stable name of a callable: not its address, which differs in every process."""
    if isinstance(function, partial):
        given = [repr(a) for a in function.args] + [f"{k}={v!r}" for k, v in function.keywords.items()]
        return f"partial({', '.join((callable_name(function.func), *given))})"
    owner = function if hasattr(function, "__qualname__") else type(function)
    return f"{owner.__module__}.{owner.__qualname__}" if getattr(owner, "__module__", None) else owner.__qualname__
