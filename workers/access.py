"""Pods of kind ``access``: who logs in, who may do what, who is active."""

from __future__ import annotations

from topologies import access_grants, access_guard, user_sessions

topologies = [access_guard.topology, access_grants.topology, user_sessions.topology]
