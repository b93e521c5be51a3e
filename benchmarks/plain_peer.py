"""Filter and select as plain Python: one closure per step, called per event."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

Event = dict[str, Any]


def filtering(condition: Callable[[Event], bool], then: Callable[[Event], None]) -> Callable[[Event], None]:
    """Return a step that passes some events on."""

    def step(event: Event) -> None:
        if condition(event):
            then(event)

    return step


def mapping(function: Callable[[Event], Event], then: Callable[[Event], None]) -> Callable[[Event], None]:
    """Return a step that passes a new event on."""

    def step(event: Event) -> None:
        then(function(event))

    return step


def row(event: Event) -> Event:
    """Return the columns of the output."""
    data = event["data"]
    return {
        "order_id": data["order_id"],
        "user_id": data["user_id"],
        "amount": data["amount"],
        "timestamp": event["timestamp"],
    }


def main(source: str, target: str) -> None:
    """Run from file to file."""
    with Path(source).open("rb") as lines, Path(target).open("w") as out:
        chain = filtering(
            lambda event: event["data"]["amount"] > 500,
            mapping(row, lambda event: print(json.dumps(event), file=out)),
        )
        for line in lines:
            chain(json.loads(line))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
