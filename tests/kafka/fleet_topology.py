"""The topology that the fleet is proved with: every kind of state, and a result for each that can be recomputed."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import timedelta

from pydantic import BaseModel

from headrace import Topology, agg, col, fn, session, tumbling
from headrace.kafka.layout import Layout, lay_out
from headrace.plan import Plan, compile_plan

BASE_MS = 1_700_000_000_000
STEP_MS = int(os.environ.get("HEADRACE_SOAK_STEP_MS", "2"))
"""Event time between two orders of one partition."""
WINDOW_MS, GAP_MS = 10_000, 3_000
LARGE = 500
second = timedelta(seconds=1)


class Order(BaseModel):
    """One order."""

    id: int
    at: int
    user: str
    country: str
    amount: int


@dataclass(frozen=True)
class Names:
    """The topics of one run."""

    run: str

    @property
    def orders(self) -> str:
        return f"{self.run}-orders"

    @property
    def derived(self) -> str:
        return f"{self.run}-derived"

    @property
    def totals(self) -> str:
        return f"{self.run}-totals"

    @property
    def countries(self) -> str:
        return f"{self.run}-countries"

    @property
    def latest(self) -> str:
        return f"{self.run}-latest"

    @property
    def sessions(self) -> str:
        return f"{self.run}-sessions"

    @property
    def outputs(self) -> tuple[str, ...]:
        return (self.derived, self.totals, self.countries, self.latest, self.sessions)

    def plan(self) -> Plan:
        return compile_plan(proof(self))

    def layout(self) -> Layout:
        return lay_out(self.run, [self.plan()])


def proof(names: Names, *, on_error: str = "dead_letter") -> Topology:
    """Return the topology: stateless, windowed, behind a repartition, a table, sessions."""
    topology = Topology(names.run)
    orders = topology.source(
        "orders",
        topic=names.orders,
        schema=Order,
        key=col.user,
        time=col.at,
        idle_timeout=os.environ.get("HEADRACE_SOAK_IDLE", "1h"),
        on_error=on_error,  # type: ignore[arg-type]
    )
    orders.filter("large", col.amount > LARGE).select("derive", col.id, col.user, col.amount).sink(
        "derived", topic=names.derived
    )
    by_user = orders.group_by("by-user", col.user)
    totals = by_user.window(tumbling(WINDOW_MS / 1000 * second, retention="1m")).aggregate(
        "totals", n=agg.count(), sum=agg.sum(col.amount), low=agg.min(col.amount), high=agg.max(col.amount)
    )
    totals.on_update().select(
        "total", col.user, col.n, col.sum, col.low, col.high, start=fn.epoch_ms(col.window_start)
    ).sink("totals-out", topic=names.totals)
    by_country = orders.group_by("by-country", col.country).window(tumbling(WINDOW_MS / 1000 * second, retention="1m"))
    by_country.aggregate(
        "countries", n=agg.count(), sum=agg.sum(col.amount), low=agg.min(col.amount), high=agg.max(col.amount)
    ).on_update().select(
        "country-total", col.country, col.n, col.sum, col.low, col.high, start=fn.epoch_ms(col.window_start)
    ).sink("countries-out", topic=names.countries)
    by_user.table("latest").on_update().select("newest", col.user, col.id).sink("latest-out", topic=names.latest)
    by_user.window(session(GAP_MS / 1000 * second, retention="1m")).aggregate(
        "visits", n=agg.count(), sum=agg.sum(col.amount), first=agg.min(col.at), last=agg.max(col.at)
    ).on_close().select("visit", col.user, col.n, col.sum, col.first, col.last).sink("visits-out", topic=names.sessions)
    return topology
