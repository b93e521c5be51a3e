"""Run all benchmarks that need no broker: ``python -m benchmarks``."""

from benchmarks import engine, joins, nexmark, patterns, scaling, whole

for one in (engine, whole, scaling, patterns, joins, nexmark):
    one.main()
