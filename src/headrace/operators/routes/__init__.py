"""Live rules and parameters: changes are checked, records wait for them, and meet what is in force."""

from headrace.operators.routes.checking import CheckKind, rule_checker
from headrace.operators.routes.holding import HoldKind
from headrace.operators.routes.parameters import ParametersKind, parameter_checker
from headrace.operators.routes.routing import RouteKind

__all__ = ["CheckKind", "HoldKind", "ParametersKind", "RouteKind", "parameter_checker", "rule_checker"]
