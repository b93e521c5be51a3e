"""A process that dies at the worst moments of a checkpoint leaves files and state in step."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.runtime import fleet_under_test as fleet
from tests.runtime.support import rows

DYING = """
import os, sys
from headrace.config import WorkerSettings
from headrace.runtime import worker
from tests.runtime import fleet_under_test as fleet

data, source, report, failures, moment, countdown = sys.argv[1:]
left = int(countdown)

class Dying:
    def __init__(self, backend):
        self._backend = backend
        self.store, self.names, self.close = backend.store, backend.names, backend.close

    def write(self, batch):
        global left
        holds_file = any(store == "files" and value != b"0" for store, _, value in batch.puts)
        left -= holds_file
        if holds_file and left == 0 and moment == "between the file and the batch":
            os._exit(9)
        self._backend.write(batch)
        if holds_file and left == 0:  # the files do not know yet that it was written
            os._exit(9)

worker.Schedule.checkpoint_due = lambda self, *, full: True  # after each slice: no matter how fast the machine is
open_backend = worker._open_backend
worker._open_backend = lambda settings: Dying(open_backend(settings))
settings = WorkerSettings.of(data_dir=data, read_bytes=20_000, checkpoint_interval="1ms")
outputs = {"report": report, "failures": failures}
with worker.Worker([fleet.topology], settings, inputs={"attempts": [source]}, outputs=outputs) as made:
    made.run()
"""


@pytest.mark.parametrize("moment", ["between the file and the batch", "between the batch and its acknowledgement"])
def test_a_file_and_the_state_agree_after_a_death(tmp_path, moment):
    source, report, failures = (tmp_path / name for name in ("in", "report", "failures"))
    fleet.write_input(source, 20_000)
    args = [str(tmp_path / "data"), str(source), str(report), str(failures), moment]
    codes = []
    for countdown in ("1", "2", "3", "20", "0"):
        command = [sys.executable, "-c", DYING, *args, countdown]
        env = {"PYTHONPATH": str(Path.cwd())}
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=env)
        assert done.returncode in {0, 9}, done.stderr
        codes.append(done.returncode)
    assert codes == [9, 9, 9, 9, 0]
    assert [row["number"] for row in rows(failures)] == fleet.expected_failures(source)
    assert fleet.report(report.read_text().splitlines()) == fleet.expected_report(source)
