"""kill -9 in the middle of a run leaves a folder that opens."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

from mfviz.experiments.store import open_run
from mfviz.telemetry.check import check_run
from mfviz.telemetry.events import EpochEnded
from mfviz.telemetry.log import EVENTS_FILE

SCRIPT = """
import sys
from pathlib import Path
from mfviz.experiments.run import Run
from tests.fakes import ScriptedSolver, tiny_problem
solver = ScriptedSolver(epochs=10_000, nap_s=0.001, chunks=2)
Run(tiny_problem(), solver, folder=Path(sys.argv[1])).execute()
"""


def test_a_killed_run_opens(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    root = Path(__file__).parents[2]
    process = subprocess.Popen([sys.executable, "-c", SCRIPT, str(folder)], cwd=root)
    try:
        events = folder / EVENTS_FILE
        while not (events.exists() and b'"epoch": 5' in events.read_bytes()):
            assert process.poll() is None, "the run ended by itself"
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    finally:
        process.kill()
        process.wait()
    run = open_run(folder)
    ended = [event for event in run.events if isinstance(event, EpochEnded)]
    assert len(ended) >= 5
    assert [event.seq for event in run.events] == list(range(len(run.events)))
    assert run.history().status == "stopped"
    assert "process ended before" in run.history().reason
    assert [s for s in check_run(run.events) if "still held" not in s] == []
