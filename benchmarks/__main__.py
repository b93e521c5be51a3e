"""Run all benchmarks: ``python -m benchmarks``."""

from benchmarks import engine, scaling, whole

engine.main()
whole.main()
scaling.main()
