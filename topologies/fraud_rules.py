"""fraud-rules: payments that rules call suspicious. The rules change while the fleet runs, by a control topic."""

from __future__ import annotations

from pathlib import Path

from headrace import RuleChange, RuleSet, Topology, col
from schemas.commerce import PaymentSettled

RULES = RuleSet.from_yaml(Path(__file__).with_suffix(".yaml"))

topology = Topology("fraud-rules")

payments = topology.source("payments", topic="commerce.payments", schema=PaymentSettled, out_of_orderness="30s").select(
    "facts",
    col.order_id,
    col.provider,
    col.status,
    col.amount,
    col.currency,
    col.reason,
    tenant=col.envelope.tenant,
    at=col.envelope.time,
)

# Rules change a few times a day: after a second of silence the control topic holds no payment up.
changes = topology.source("changes", topic="commerce.fraud-rules", schema=RuleChange, idle_timeout="1s")

suspicious = payments.route("suspicious", changes, initial=RULES)
suspicious.to_targets("to-target", key=col.order_id)
suspicious.rejected().sink("rejected", topic="commerce.fraud-rules-rejected")
