"""Patterns: runs of events that follow each other, found in each key's events."""
