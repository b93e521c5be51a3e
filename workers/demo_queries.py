"""What the demo asks the fleet's tables, and how it checks that every record is accounted for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from headrace.plan import Plan
from headrace.runtime.log import Log
from headrace.runtime.summary import Summary
from workers.simulation import Tally

Row = dict[str, Any]

MIDNIGHT = datetime(2026, 1, 6, tzinfo=UTC)
SHOWN = 5
# Who does not read the field that makes a record of the topic invalid: the quantity of an order.
BLIND = {("user-sessions", "commerce.orders")}


class Reader(Protocol):
    """The part of a table that the demo uses."""

    def get(self, key: Any, window_start: datetime | None = None) -> list[Row]:
        """Return the rows of a key."""

    def scan(self, prefix: Any = None) -> Iterator[Row]:
        """Yield rows in the order of their keys."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A question to a table, as words, and the rows that answer it."""

    question: str
    rows: list[Row]


def top_tenants(tables: Mapping[str, Reader]) -> list[Row]:
    """Return the tenants with the highest revenue."""
    return sorted(tables["tenant-revenue"].scan(), key=lambda row: row["revenue"], reverse=True)[:SHOWN]


def answers(tables: Mapping[str, Reader]) -> Iterator[Answer]:
    """Ask the tables: totals, one key, a prefix of keys, windows."""
    best = top_tenants(tables)
    yield Answer("Which tenants have the highest revenue?", best)
    if best:
        tenant = best[0]["tenant"]
        hours = sorted(tables["revenue-per-hour"].scan(prefix=(tenant,)), key=lambda row: row["revenue"], reverse=True)
        yield Answer(f"What sold best at {tenant}, and in which hour?", hours[:SHOWN])
    attacked = max(tables["failed-logins"].scan(), key=lambda row: row["attempts"], default=None)
    if attacked is not None:
        user = attacked["user_id"]
        yield Answer(f"Has {user} trouble logging in?", tables["failed-logins"].get(user))
        minutes = sorted(tables["failures-per-minute"].scan(prefix=(user,)), key=lambda row: row["window_start"])
        yield Answer(f"When did the logins of {user} fail?", minutes[-SHOWN:])
    going_on = [row for row in tables["user-sessions"].scan() if row["window_end"] > MIDNIGHT]
    longest = sorted(going_on, key=lambda row: (-row["actions"], row["user_id"]))
    yield Answer(f"Whose session was open at midnight? ({len(going_on)} sessions; the busiest)", longest[:SHOWN])
    stock = sorted(tables["stock"].scan(), key=lambda row: (row["on_hand"], row["warehouse"], row["sku"]))
    yield Answer("What is nearly sold out, and where?", [_stock(row) for row in stock[:SHOWN]])
    evening = MIDNIGHT - timedelta(hours=4)
    health = [row for row in tables["provider-health"].scan() if row["window_start"] == evening]
    yield Answer("How many payments did each provider decline between 20:00 and 21:00?", health)
    yield from warnings(tables)
    admins = [row for row in tables["grants"].scan() if row["role"] == "admin"]
    yield Answer(f"Who is an administrator? ({len(admins)} users; some)", [_grant(row) for row in admins[:SHOWN]])


def alerts(tables: Mapping[str, Reader]) -> list[Row]:
    """Return what the fleet warns of: how often so far, and the newest case."""

    def newest(table: str, time: str, words: Callable[[Row], str]) -> Row:
        rows = list(tables[table].scan())
        last = max(rows, key=lambda row: row[time], default=None)
        told = {"newest": "", "at": None} if last is None else {"newest": words(last), "at": last[time]}
        return {"so far": len(rows), **told}

    guessed = newest("guessed-passwords", "entered_at", lambda row: f"{row['user_id']}, {row['failures']} failures")
    journeys = newest("impossible-journeys", "last_at", lambda row: f"{row['user_id']}, {row['km']:,.0f} km")
    unpaid = newest("unpaid-orders", "since", lambda row: f"{row['order_id']} of {row['tenant']}, {row['amount']:,}")
    empty = newest("stock-outs", "counted_at", lambda row: f"{row['sku']} at {row['warehouse']}, {row['on_hand']} left")
    return [
        {"alert": "password guessed", **guessed},
        {"alert": "impossible journey", **journeys},
        {"alert": "order not paid", **unpaid},
        {"alert": "stock running out", **empty},
    ]


def warnings(tables: Mapping[str, Reader]) -> Iterator[Answer]:
    """Ask for what the fleet has found by patterns and joins."""
    guessed = sorted(tables["guessed-passwords"].scan(), key=lambda row: row["entered_at"])
    yield Answer(f"Whose password was guessed? ({len(guessed)} users; the last)", guessed[-SHOWN:])
    journeys = sorted(tables["impossible-journeys"].scan(), key=lambda row: row["last_at"])
    yield Answer(f"Who was in two places at once? ({len(journeys)} users; the last)", journeys[-SHOWN:])
    unpaid = sorted(tables["unpaid-orders"].scan(), key=lambda row: row["amount"], reverse=True)
    title = f"Which orders were not paid within half an hour? ({len(unpaid)}; the largest)"
    yield Answer(title, [_without_window(row) for row in unpaid[:SHOWN]])
    empty = sorted(tables["stock-outs"].scan(), key=lambda row: (row["hours_left"], row["warehouse"], row["sku"]))
    yield Answer(f"What will be sold out within six hours? ({len(empty)} places; the first)", empty[:SHOWN])


def _without_window(row: Row) -> Row:
    return {name: value for name, value in row.items() if not name.startswith("window")}


def _stock(row: Row) -> Row:
    return {name: row[name] for name in ("warehouse", "sku", "on_hand", "reorder_point", "counted_at")}


def _grant(row: Row) -> Row:
    return {name: row[name] for name in ("user_id", "role", "changed_by", "at")}


def accounts(plans: Mapping[str, Plan], summary: Summary, tallies: Mapping[str, Tally]) -> list[Row]:
    """Return, per topology, what came in and went to dead letters, and what was to be expected.

    A topology that reads what another one derives has no expectation: ``expected`` is None.
    """
    rows: list[Row] = []
    for counted in summary.topologies:
        topics = [source.topic for source in plans[counted.name].sources]
        known = [topic for topic in topics if topic in tallies]
        records = sum(tallies[topic].records for topic in known) if len(known) == len(topics) else None
        bad = sum(_dead(counted.name, topic, tallies[topic]) for topic in known)
        rows.append(
            {
                "topology": counted.name,
                "read": counted.records_in,
                "written to it": counted.records_in if records is None else records,
                "dead letters": counted.dead_letters,
                "malformed": bad,
                "late": counted.late,
                "accounted for": records in {None, counted.records_in} and bad == counted.dead_letters,
            }
        )
    return rows


def _dead(topology: str, topic: str, tally: Tally) -> int:
    return tally.unreadable + (0 if (topology, topic) in BLIND else tally.invalid)


def wrong_records(plans: Mapping[str, Plan], log: Log) -> list[Row]:
    """Return one dead letter of each topic and step, with the message that says what is wrong with it."""
    rows: dict[tuple[str, str], Row] = {}
    for plan in plans.values():
        for partition in range(log.topics().get(plan.dead_letter_topic, 0)):
            for headers in log.read(plan.dead_letter_topic, partition, 0).headers or []:
                told = {name.removeprefix("headrace-"): value.decode() for name, value in headers}
                row = {"topology": plan.name, **{name: told[name] for name in ("topic", "offset", "message")}}
                rows.setdefault((plan.name, told["topic"]), row)
    return list(rows.values())
