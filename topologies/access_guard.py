"""access-guard: failed logins per user and minute, and an alert where they are too many."""

from __future__ import annotations

from headrace import Topology, agg, col, meta, tumbling, when
from schemas.access import LoginAttempted

SUSPICIOUS_ATTEMPTS = 5
ATTACK_ATTEMPTS = 20

topology = Topology("access-guard")

failures = topology.source("logins", topic="access.logins", schema=LoginAttempted, out_of_orderness="30s").filter(
    "failures", col.outcome == "failed"
)

by_user = failures.group_by("by-user", col.user_id)

per_minute = by_user.window(tumbling("1m", grace="10s", retention="2d")).aggregate(
    "failures-per-minute",
    attempts=agg.count(),
    addresses=agg.collect_set(col.ip, limit=20),
)
per_minute.on_close().sink("report", topic="access.failures-per-minute")
per_minute.late().select("late-failure", col.user_id, at=meta.time).sink("late-report", topic="access.late-failures")

(
    per_minute.on_close()
    .filter("suspicious", col.attempts >= SUSPICIOUS_ATTEMPTS)
    .select(
        "alert",
        col.user_id,
        since=col.window_start,
        until=col.window_end,
        attempts=col.attempts,
        addresses=col.addresses,
        severity=when(col.attempts >= ATTACK_ATTEMPTS).then("high").otherwise("medium"),
    )
    .sink("alerts", topic="access.alerts")
)

# For support: has this user trouble logging in?
by_user.aggregate(
    "failed-logins",
    attempts=agg.count(),
    last_at=agg.max(meta.time),
    last_address=agg.last(col.ip),
)
