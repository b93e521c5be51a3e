"""Instruments: metrics, traces and logs, by adapters that the engine does not know."""
