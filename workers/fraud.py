"""Pods of kind ``fraud``: payments against rules that analysts change."""

from __future__ import annotations

from topologies import fraud_rules

topologies = [fraud_rules.topology]
