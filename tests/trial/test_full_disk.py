"""A disk that fills up and a kill at the worst moment leave a run folder that the same command goes on in."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from greenbench import runner
from greenbench.config import load_suite
from greenbench.errors import OutputError
from greenbench.power.sampler.live import CELL_BYTES, LiveWriter
from tests.tones import REPOSITORY

_OPENED: list[tuple[str, str]] = []


def _audit(name: str, arguments: tuple[object, ...]) -> None:
    if name == "open" and isinstance(arguments[1], str) and "w" in arguments[1]:
        _OPENED.append((str(arguments[0]), arguments[1]))


def test_the_suite_of_a_run_folder_is_never_half_written(tmp_path: Path) -> None:
    """Were it opened for writing, a kill or a full disk would leave an empty one, which no later command would fit."""
    suite, out = load_suite("quickstart"), tmp_path / "out"
    runner._open_folder(out, suite)
    sys.addaudithook(_audit)
    runner._open_folder(out, suite)
    written = [Path(path).name for path, _ in _OPENED if Path(path).parent == out]
    assert written
    assert "suite.toml" not in written


def test_a_kill_before_the_suite_was_written_leaves_a_folder_that_the_same_command_takes(tmp_path: Path) -> None:
    (tmp_path / "suite.toml.4711.tmp").write_text("[su")
    runner._open_folder(tmp_path, load_suite("quickstart"))
    assert (tmp_path / "suite.toml").exists()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").write_text("mine")
    with pytest.raises(OutputError, match="holds other files"):
        runner._open_folder(tmp_path / "other", load_suite("quickstart"))


def test_the_live_cell_has_its_place_on_the_disk_before_it_is_mapped(tmp_path: Path) -> None:
    """Writing through a map to a place that a full disk does not have ends the sampler by SIGBUS."""
    writer = LiveWriter(tmp_path / "live.bin")
    assert (tmp_path / "live.bin").stat().st_blocks * 512 >= CELL_BYTES
    writer.close()


_FAILING = """
import resource, signal, sys
from pathlib import Path
from greenbench.errors import OutputError
from greenbench.trial.booking import Worker
from greenbench.trial.worker import _fail
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
worker = Worker(Path(sys.argv[1]))
resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
code = _fail(worker, OutputError("step-7: checkpoint cannot be written (No space left on device)"), 2)
# What measures the coverage of tests writes its data when this process ends.
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
sys.exit(code)
"""


def test_a_trainer_that_cannot_even_write_its_reason_says_it_in_one_line(tmp_path: Path) -> None:
    (source,) = (REPOSITORY / "tests" / "fixtures" / "run-schema-3").glob("eco-*")
    shutil.copytree(source, tmp_path / source.name)
    done = subprocess.run([sys.executable, "-c", _FAILING, str(tmp_path / source.name)], capture_output=True, text=True)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert "step-7: checkpoint cannot be written" in done.stderr
