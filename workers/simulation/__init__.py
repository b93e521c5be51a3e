"""A simulated day of a shop platform: seeded, so that the same seed writes the same bytes."""

from workers.simulation.day import TOPICS, Day, simulate
from workers.simulation.mistakes import Mistakes, Tally

__all__ = ["TOPICS", "Day", "Mistakes", "Tally", "simulate"]
