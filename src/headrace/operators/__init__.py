"""Operators: generated code over batches, and the logic of stateful steps. No I/O, no clock."""

from headrace.operators.build import code, generate

__all__ = ["code", "generate"]
