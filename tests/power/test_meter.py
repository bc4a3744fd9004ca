from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from greenbench.power.meter import Meter
from tests.fake_nvml import FakeGpu, Load


def test_phases_nest_repeat_and_add_up(driver):
    load = Load.points((0, 100), (60, 700))
    driver.program(FakeGpu(load))
    calls = []
    with Meter(sources="nvml", synchronize=lambda: calls.append(time.monotonic_ns())) as meter:
        with meter.phase("train"):
            for _ in range(2):
                with meter.phase("epoch"):
                    time.sleep(1.0)
        with meter.phase("evaluate"):
            time.sleep(0.5)
    assert [p.path for p in meter.phases] == ["train", "train/epoch", "train/epoch", "evaluate"]
    train, first, second, evaluate = (p.energy.energy_j for p in meter.phases)
    assert first + second == pytest.approx(train, rel=0.02)
    assert train + evaluate == pytest.approx(meter.energy.energy_j, rel=0.03)
    for phase in meter.phases:
        exact = load.energy_j(driver.seconds(phase.begin_ns), driver.seconds(phase.end_ns))
        assert abs(phase.energy.energy_j - exact) <= phase.energy.edge_j
    assert len(calls) == 2 + 2 * len(meter.phases)


def test_joules_are_live_and_end_at_the_final_figure(driver):
    driver.program(FakeGpu(Load.constant(200)))
    with Meter(sources="nvml") as meter:
        seen = []
        for _ in range(20):
            seen.append(meter.joules())
            time.sleep(0.05)
    assert seen == sorted(seen)
    assert seen[-1] > 100
    assert meter.joules() == meter.energy.energy_j == pytest.approx(200 * meter.energy.duration_s, rel=0.03)


def test_a_decorated_function_is_metered_at_every_call_and_keeps_its_result():
    meter = Meter(sources="cpu")

    @meter
    def work(x):
        """Work."""
        time.sleep(0.2)
        return x + 1

    assert work(1) == 2
    first = meter.energy
    assert work.__doc__ == "Work."
    assert work(2) == 3
    assert meter.energy is not first
    assert meter.energy.energy_j > 0


def test_an_error_inside_passes_and_what_was_used_is_still_known():
    meter = Meter(sources="cpu", synchronize=lambda: None)

    def work():
        with meter, meter.phase("train"):
            time.sleep(0.2)
            raise KeyError("x")

    with pytest.raises(KeyError):
        work()
    assert meter.energy.energy_j > 0
    assert meter.phases[0].energy.duration_s >= 0.2


def test_a_broken_device_does_not_hide_the_real_error():
    calls = []

    def synchronize():
        calls.append(1)
        if len(calls) > 2:
            raise RuntimeError("device-side assert")

    with pytest.raises(KeyError), Meter(sources="none", synchronize=synchronize) as meter, meter.phase("train"):
        raise KeyError("the real one")


def test_no_thread_runs_inside_the_metered_process():
    before = threading.active_count()
    with Meter(sources="cpu"):
        assert threading.active_count() == before


def test_without_sources_everything_is_absent_and_nothing_raises():
    with Meter(sources="none") as meter, meter.phase("train"):
        assert meter.joules() is None
    assert meter.energy.energy_j is None
    assert meter.phases[0].energy.energy_j is None
    assert any("not recorded" in w for w in meter.warnings)


def test_the_power_room_and_its_sampler_stay_light():
    code = (
        "import sys\nimport greenbench.power.sampler, greenbench.power.meter, greenbench.power.live\n"
        "print(sorted({'torch', 'numpy', 'pandas', 'codecarbon', 'psutil', 'pynvml'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(Path.cwd())},
    )
    assert done.stdout.strip() == "[]"
