"""Pods of kind ``access``: who logs in, who is attacked, who may do what, who is active."""

from __future__ import annotations

from topologies import access_grants, access_guard, account_takeover, user_sessions

topologies = [access_guard.topology, account_takeover.topology, access_grants.topology, user_sessions.topology]
