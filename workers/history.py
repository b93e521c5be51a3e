"""Pods of kind ``history``: the activity of a repository."""

from __future__ import annotations

from topologies import git_activity

topologies = [git_activity.topology]
