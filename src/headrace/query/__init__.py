"""Queries on the tables of a running worker, and ingest, over HTTP.

:mod:`headrace.query.http` serves, :mod:`headrace.query.client` asks (both need ``headrace[query]``);
:mod:`headrace.query.tables` is what both and the command line have in common.
"""
