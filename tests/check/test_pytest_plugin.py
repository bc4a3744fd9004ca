"""The plugin in real pytest processes, with a replayed journal as the sensor."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

SPIN = """
import time
import pytest

def spin(seconds=0.4):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        sum(range(500))
"""


def run_tests(folder: Path, text: str, *options: str, environment: dict[str, str] | None = None) -> str:
    import os

    (folder / "test_it.py").write_text(SPIN + text)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "greenbench.pytest_plugin",
        "-p",
        "no:cacheprovider",
        "-rs",
        "-v",
        "-c",
        os.devnull,
        "--rootdir",
        str(folder),
        *options,
        "test_it.py",
    ]
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    # What runs this test may be a worker of xdist; what it starts is none.
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST_XDIST")}
    done = subprocess.run(
        command,
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env={**inherited, "PYTHONPATH": path, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", **(environment or {})},
    )
    return done.stdout + done.stderr


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """A constant 100 W of a measured device, long enough for any test."""
    path = tmp_path / "recording.csv"
    path.write_text("t_s,power_w\n" + "".join(f"{t / 10},100\n" for t in range(1200)))
    return path


def test_a_measured_test_passes_under_its_budget_and_fails_above_it(tmp_path: Path, recording: Path) -> None:
    out = run_tests(
        tmp_path,
        """
@pytest.mark.energy_budget(joules=1000)
def test_under(energy):
    spin()
    assert energy.joules() >= 0

@pytest.mark.energy_budget(joules=5)
def test_over():
    spin()
""",
        "--energy-sources",
        f"replay:{recording}",
    )
    assert "test_it.py::test_under PASSED" in out
    assert "test_it.py::test_over FAILED" in out
    assert "(measured) exceeds the budget of 5.00 J" in out
    spent = float(out.split("joules: ")[1].split(" J")[0])
    assert spent == pytest.approx(100 * 0.4, rel=0.5)


def test_modelled_energy_is_skipped_unless_allowed(tmp_path: Path) -> None:
    text = """
@pytest.mark.energy_budget(joules=1e6)
def test_model():
    spin()
"""
    assert "energy is modelled, not measured" in run_tests(tmp_path, text, "--energy-sources", "cpu")
    allowed = run_tests(tmp_path, text, "--energy-sources", "cpu", "--energy-allow-modelled")
    assert "test_model PASSED" in allowed
    assert "greenbench: energy from" in allowed
    assert "(modelled)" in allowed


def test_without_any_source_a_joule_budget_is_skipped_with_the_reason(tmp_path: Path) -> None:
    out = run_tests(
        tmp_path,
        """
@pytest.mark.energy_budget(joules=1)
def test_none(energy):
    spin()
""",
        "--energy-sources",
        "none",
    )
    assert "no power source is readable here" in out
    assert "1 skipped" in out


def test_flops_and_memory_are_limited_without_a_sensor(tmp_path: Path) -> None:
    out = run_tests(
        tmp_path,
        """
@pytest.mark.energy_budget(flops=2000)
def test_flops_fit():
    import torch
    torch.ones(10, 10) @ torch.ones(10, 10)

@pytest.mark.energy_budget(flops=1999)
def test_flops_exceed():
    import torch
    torch.ones(10, 10) @ torch.ones(10, 10)

@pytest.mark.energy_budget(peak_memory=20 * 2**20)
def test_memory_exceeds():
    block = bytearray(60 * 2**20)

@pytest.mark.energy_budget(peak_memory=200 * 2**20)
def test_memory_fits():
    block = bytearray(60 * 2**20)
""",
        "--energy-sources",
        "none",
    )
    for name, verdict in (
        ("flops_fit", "PASSED"),
        ("flops_exceed", "FAILED"),
        ("memory_exceeds", "FAILED"),
        ("memory_fits", "PASSED"),
    ):
        assert f"test_{name} {verdict}" in out, out


def test_a_wrong_marker_is_an_error_that_names_what_is_allowed(tmp_path: Path) -> None:
    out = run_tests(
        tmp_path,
        """
@pytest.mark.energy_budget(jouls=5)
def test_typo():
    pass
""",
    )
    assert "energy_budget takes joules, flops, peak_memory, allow_modelled, allow_uncounted by name, found jouls" in out


def test_a_failing_test_keeps_its_own_error(tmp_path: Path, recording: Path) -> None:
    out = run_tests(
        tmp_path,
        """
@pytest.mark.energy_budget(joules=1e-9)
def test_fails():
    assert 1 == 2
""",
        "--energy-sources",
        f"replay:{recording}",
    )
    assert "assert 1 == 2" in out
    assert "exceeds" not in out


def test_xdist_workers_that_share_the_sensors_are_refused(tmp_path: Path) -> None:
    out = run_tests(
        tmp_path,
        """
@pytest.mark.energy_budget(joules=1)
def test_shared():
    spin()
""",
        environment={"PYTEST_XDIST_WORKER": "gw0", "PYTEST_XDIST_WORKER_COUNT": "2"},
    )
    assert "2 xdist workers share this machine's power sensors" in out
    assert "1 failed" in out


def test_importing_the_plugin_loads_nothing_heavy() -> None:
    heavy = "('torch', 'numpy', 'pandas', 'scipy')"
    code = f"import sys, greenbench.pytest_plugin; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_flops_of_fused_kernels_inference_and_threads_are_limited(tmp_path: Path) -> None:
    out = run_tests(
        tmp_path,
        """
import torch
from torch import nn
limited = pytest.mark.energy_budget(flops=1e6)

@limited
def test_encoder():
    with torch.no_grad():
        nn.TransformerEncoderLayer(64, 4, 256, batch_first=True).eval()(torch.randn(4, 100, 64))

@limited
def test_lstm():
    with torch.inference_mode():
        nn.LSTM(64, 64, batch_first=True)(torch.randn(4, 100, 64))

@limited
def test_thread():
    from concurrent.futures import ThreadPoolExecutor
    with ThreadPoolExecutor(1) as pool:
        pool.submit(nn.Linear(64, 256), torch.randn(400, 64)).result()

@limited
def test_unknown():
    torch.linalg.svd(torch.randn(4, 4))

@pytest.mark.energy_budget(flops=1e6, allow_uncounted=True)
def test_allowed():
    torch.linalg.svd(torch.randn(4, 4))

@limited
def test_child():
    import subprocess, sys
    subprocess.run([sys.executable, "-c", "sum(range(10**6))"])
""",
        "--energy-sources",
        "none",
    )
    for name, verdict in (
        ("encoder", "FAILED"),
        ("lstm", "FAILED"),
        ("thread", "FAILED"),
        ("unknown", "SKIPPED"),
        ("allowed", "PASSED"),
        ("child", "SKIPPED"),
    ):
        assert f"test_{name} {verdict}" in out, out
    assert "flops: 26.2 MFLOP exceeds the budget of 1.00 MFLOP" in out
    assert "aten::_linalg_svd (1 calls), which has no formula" in out
    assert "child processes used" in out
