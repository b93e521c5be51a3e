"""From a declared topology to an immutable physical plan: validate, describe, compare."""

from headrace.plan.compiler import compile_plan
from headrace.plan.describe import Description, describe
from headrace.plan.diff import PlanDiff, diff
from headrace.plan.model import Agent, Plan, PlannedStep, SourceSpec, TableSpec

__all__ = [
    "Agent",
    "Description",
    "Plan",
    "PlanDiff",
    "PlannedStep",
    "SourceSpec",
    "TableSpec",
    "compile_plan",
    "describe",
    "diff",
]
