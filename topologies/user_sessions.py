"""user-sessions: what a user does in one visit, from logins, page views and orders together."""

from __future__ import annotations

from headrace import Topology, agg, col, meta, session, when
from schemas.access import LoginAttempted
from schemas.commerce import OrderPlaced, PageViewed

topology = Topology("user-sessions")

logins = (
    topology.source("logins", topic="access.logins", schema=LoginAttempted, out_of_orderness="2m")
    .filter("entered", col.outcome == "succeeded")
    .select("login", tenant=col.envelope.tenant, user_id=col.user_id, action="login", page="/login")
)
views = topology.source("views", topic="commerce.views", schema=PageViewed, time=col.at, out_of_orderness="2m").select(
    "view", col.tenant, col.user_id, action="view", page=col.path
)
orders = topology.source("orders", topic="commerce.orders", schema=OrderPlaced, out_of_orderness="2m").select(
    "order", tenant=col.envelope.tenant, user_id=col.user_id, action="order", page="/checkout"
)

sessions = (
    views.merge("activity", logins, orders)
    .map("counted", ordered=when(col.action == "order").then(1).otherwise(0))
    .group_by("by-user", col.tenant, col.user_id)
    .window(session("30m", grace="1m", retention="2d"))
    .aggregate(
        "user-sessions",
        actions=agg.count(),
        orders=agg.sum(col.ordered),
        landing_page=agg.first(col.page),
        exit_page=agg.last(col.page),
        last_at=agg.max(meta.time),
    )
)
sessions.on_close().sink("sessions", topic="commerce.sessions")
