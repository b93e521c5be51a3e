"""Filter and select on Bytewax (0.21): file to file. Needs the package ``bytewax``."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import bytewax.operators as op
from bytewax.connectors.files import FileSink, FileSource
from bytewax.dataflow import Dataflow
from bytewax.testing import run_main

from benchmarks.plain_peer import row


def main(source: str, target: str) -> None:
    """Run from file to file."""
    flow = Dataflow("projection")
    lines = op.input("lines", flow, FileSource(Path(source), batch_size=1000))
    events = op.map("parse", lines, json.loads)
    big = op.filter("big", events, lambda event: event["data"]["amount"] > 500)
    rows = op.map("row", big, lambda event: ("", json.dumps(row(event))))
    op.output("out", rows, FileSink(Path(target)))
    run_main(flow)  # type: ignore[no-untyped-call]


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
