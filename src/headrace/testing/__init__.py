"""Test a topology without a broker: a driver, a hand-moved clock, fault injection."""

from headrace.testing.clock import ManualClock
from headrace.testing.driver import TopologyDriver
from headrace.testing.examples import aggregated, computed, example
from headrace.testing.faults import CrashPoint, FaultyBackend, SimulatedCrash
from headrace.testing.outputs import DeadLetter, OutputRecord

__all__ = [
    "CrashPoint",
    "DeadLetter",
    "FaultyBackend",
    "ManualClock",
    "OutputRecord",
    "SimulatedCrash",
    "TopologyDriver",
    "aggregated",
    "computed",
    "example",
]
