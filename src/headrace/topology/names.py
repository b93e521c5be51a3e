"""What may be a name: ids and topics become names of Kafka topics, so Kafka's rules hold for all of them."""

from __future__ import annotations

import re

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
