"""Write the simulated day: ``python -m workers.simulate --events 200000 --seed 7 --out DIR``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from workers.simulation import simulate


def main(arguments: list[str] | None = None) -> int:
    """Write the day and print what is in it."""
    parser = argparse.ArgumentParser(prog="python -m workers.simulate", description=__doc__)
    parser.add_argument("--events", type=int, default=200_000, help="about how many events (default 200000)")
    parser.add_argument("--tenants", type=int, default=100, help="how many tenants (default 100)")
    parser.add_argument("--seed", type=int, default=7, help="the same seed writes the same bytes (default 7)")
    parser.add_argument("--out", type=Path, required=True, help="the directory to write to")
    options = parser.parse_args(arguments)
    if options.events < 1 or options.tenants < 1:
        parser.error("--events and --tenants must be 1 or more")
    day = simulate(options.out, events=options.events, seed=options.seed, tenants=options.tenants)
    for topic, tally in day.tallies.items():
        counts = ", ".join(f"{count} {name}" for name, count in tally.to_json().items())
        sys.stdout.write(f"{day.files[topic]}: {counts}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
