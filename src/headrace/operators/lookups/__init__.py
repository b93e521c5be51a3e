"""Lookups and joins of tables."""
