"""access-grants: the roles that users hold now."""

from __future__ import annotations

from headrace import Topology, agg, col
from schemas.access import RoleChanged

topology = Topology("access-grants")

changes = topology.source("role-changes", topic="access.roles", schema=RoleChanged, out_of_orderness="30s").select(
    "change", col.user_id, col.role, col.change, col.changed_by, col.expires_at, at=col.envelope.time
)

changes.group_by("by-user-and-role", col.user_id, col.role).table("grants", delete=col.change == "revoked")
changes.group_by("by-role", col.role).aggregate(
    "role-changes-total",
    changes=agg.count(),
    users=agg.collect_set(col.user_id, limit=100),
)
