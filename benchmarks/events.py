"""The events of the benchmarks: orders of about 160 bytes of JSON, 3 ms of event time apart, made from a seed."""

from __future__ import annotations

import random
from pathlib import Path

from pydantic import BaseModel

BASE_MS = 1_700_000_000_000
STEP_MS = 3


class Data(BaseModel):
    """The payload."""

    order_id: str
    user_id: str
    amount: float
    currency: str


class Order(BaseModel):
    """One order as it stands in the topic."""

    id: str
    type: str
    timestamp: int
    tenant: str
    data: Data


def orders(count: int, keys: int, *, seed: int = 42) -> list[bytes]:
    """Return ``count`` orders of ``keys`` users; with ``count`` >= ``keys`` > count / 10 every user occurs."""
    rand = random.Random(seed).random
    lines = []
    for n in range(count):
        # many keys are walked, not drawn: then "distinct keys" is meant literally
        user = (n * 7_368_787 + 11) % keys if keys * 10 > count else int(rand() * keys)
        cents = int(rand() * 100_000)
        lines.append(
            f'{{"id":"evt-{n}","type":"order.created","timestamp":{BASE_MS + n * STEP_MS},"tenant":"t{n % 40}",'
            f'"data":{{"order_id":"o{n}","user_id":"u{user}","amount":{cents // 100}.{cents % 100:02d},'
            f'"currency":"EUR"}}}}'.encode()
        )
    return lines


def write_orders(path: Path, count: int, keys: int) -> None:
    """Write orders as NDJSON, a part at a time."""
    with path.open("wb") as file:
        for line in orders(count, keys):
            file.write(line + b"\n")


class LoginData(BaseModel):
    """Who, and from where."""

    user_id: str
    ip: str


class Login(BaseModel):
    """One login, or an attempt at one."""

    id: str
    type: str
    timestamp: int
    tenant: str
    data: LoginData


def logins(count: int, keys: int, *, failed: float = 0.1, seed: int = 43) -> list[bytes]:
    """Return ``count`` logins of ``keys`` users, of which a share has ``failed``."""
    rand = random.Random(seed).random
    lines = []
    for n in range(count):
        kind = "failed" if rand() < failed else "succeeded"
        lines.append(
            f'{{"id":"evt-{n}","type":"login.{kind}","timestamp":{BASE_MS + n * STEP_MS},"tenant":"t{n % 40}",'
            f'"data":{{"user_id":"u{int(rand() * keys)}","ip":"10.7.0.{n & 255}"}}}}'.encode()
        )
    return lines
