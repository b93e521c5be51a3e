"""The language: topologies, streams, expressions, windows and aggregates. Inert and cheap to import."""
