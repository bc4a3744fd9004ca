from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.report.folders import LOGMEL, RANDOM, Arm, write_run

MEASURE = """
import json, re, sys, time
from pathlib import Path
from greenbench.report import write_report
paths = write_report([Path(sys.argv[1])], Path(sys.argv[2]))
# ru_maxrss begins at the size of the process that started this one; VmHWM is this program's own.
peak = re.search(r"VmHWM:\\s*(\\d+) kB", open("/proc/self/status").read())
print(json.dumps({"cpu_s": time.process_time(), "bytes": int(peak[1]) * 1024}))
"""


@pytest.mark.slow
def test_a_thousand_trials_take_little_memory_and_time(tmp_path: Path) -> None:
    arms = (*(Arm(f"model-{i}", "predictive", 40.0 + i, targets_s=i % 5) for i in range(18)), LOGMEL, RANDOM)
    run = write_run(tmp_path / "run", arms=arms, seeds=50, power=False, log_every_s=1.0)
    command = [sys.executable, "-c", MEASURE, str(run), str(tmp_path / "out")]
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    used = json.loads(done.stdout)
    assert used["bytes"] < 2**30
    assert used["cpu_s"] < 45, "processor time, with room for a slow machine; 15 s is the aim"
    assert (tmp_path / "out" / "results.csv").read_text().count("\n") == 1001
