from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from greenbench.metering.meter import Meter
from tests.fake_nvml import FakeDriver, FakeGpu, Load


def samplers() -> set[str]:
    """Process ids of the samplers that this process has started and that still run."""
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    return {pid for pid in children if "power.sampler" in Path(f"/proc/{pid}/cmdline").read_text()}


def test_phases_nest_repeat_and_add_up(driver: FakeDriver) -> None:
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


def test_joules_are_live_and_end_at_the_final_figure(driver: FakeDriver) -> None:
    driver.program(FakeGpu(Load.constant(200)))
    with Meter(sources="nvml") as meter:
        seen = []
        for _ in range(20):
            seen.append(meter.joules())
            time.sleep(0.05)
    assert seen == sorted(seen)
    assert seen[-1] > 100
    assert meter.joules() == meter.energy.energy_j == pytest.approx(200 * meter.energy.duration_s, rel=0.03)


def test_joules_begin_at_nothing_when_the_block_begins(driver: FakeDriver) -> None:
    """The sampler is up for a second before the block: none of that is the block's."""
    driver.program(FakeGpu(Load.constant(1000)))
    with Meter(sources="nvml") as meter:
        assert meter.joules() < 1000 * 0.1
        begin = time.monotonic()
        time.sleep(1.0)
        live, seconds = meter.joules(), time.monotonic() - begin
    assert live == pytest.approx(1000 * seconds, rel=0.1)


def test_a_recursive_function_is_one_metered_call(driver: FakeDriver) -> None:
    driver.program(FakeGpu(Load.constant(100)))
    meter = Meter(sources="nvml")
    seen = set()

    @meter
    def descend(depth: int) -> int:
        seen.update(samplers())
        time.sleep(0.1)
        return depth + (descend(depth - 1) if depth else 0)

    assert descend(4) == 10
    assert len(seen) == 1
    assert meter.energy.duration_s > 0.5
    assert meter.energy.energy_j == pytest.approx(100 * meter.energy.duration_s, rel=0.05)
    assert not samplers()


def test_nested_and_parallel_uses_of_one_meter_leave_no_sampler_behind() -> None:
    meter = Meter(sources="cpu")
    with meter, meter.phase("outer"):
        before = samplers()
        with meter, meter.phase("inner"):
            time.sleep(0.1)
        assert meter.joules() is not None
        threads = [threading.Thread(target=meter(time.sleep), args=(0.2,)) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert samplers() == before
    assert [p.path for p in meter.phases] == ["outer", "outer/inner"]
    assert meter.energy.duration_s > 0.3
    assert not samplers()


def test_a_synchronize_that_raises_at_the_beginning_leaves_no_sampler_behind() -> None:
    def broken() -> None:
        pids.extend(samplers())
        raise RuntimeError("no device")

    pids: list[str] = []
    meter = Meter(sources="cpu", synchronize=broken)
    with pytest.raises(RuntimeError, match="no device"):
        meter.__enter__()
    assert len(pids) == 1
    assert not samplers()


TORCH = Path(__file__).parents[1] / "fake_modules" / "torch_like"


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ({"loaded": False}, []),
        ({}, []),
        ({"initialised": True}, ["synchronize"] * 4),
        ({"initialised": True, "capturing": True}, []),
    ],
)
def test_queued_work_is_waited_for_only_where_torch_has_started_cuda(
    state: dict[str, Any], expected: list[str]
) -> None:
    code = (
        "import json, sys\nstate = json.loads(sys.argv[1])\n"
        "from greenbench.metering.meter import Meter\n"
        "if state.pop('loaded', True):\n    import torch\n    vars(torch.cuda.STATE).update(state)\n"
        "with Meter(sources='none') as m, m.phase('train'): pass\n"
        "print(json.dumps(sys.modules['torch'].cuda.STATE.calls if 'torch' in sys.modules else []))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, json.dumps(state)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(TORCH), str(Path.cwd())])},
    )
    assert json.loads(done.stdout) == expected


def test_a_broken_kernel_is_a_warning_of_the_meter_and_an_error_of_the_program() -> None:
    code = (
        "import torch\ntorch.cuda.STATE.initialised = torch.cuda.STATE.broken = True\n"
        "from greenbench.metering.meter import Meter\nwith Meter(sources='none') as m: pass\n"
        "print(*m.warnings)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(TORCH), str(Path.cwd())])},
    )
    assert "device-side assert" in done.stdout


def test_a_decorated_function_is_metered_at_every_call_and_keeps_its_result() -> None:
    meter = Meter(sources="cpu")

    @meter
    def work(x: int) -> int:
        """Work."""
        time.sleep(0.2)
        return x + 1

    assert work(1) == 2
    first = meter.energy
    assert work.__doc__ == "Work."
    assert work(2) == 3
    assert meter.energy is not first
    assert meter.energy.energy_j > 0


def test_an_error_inside_passes_and_what_was_used_is_still_known() -> None:
    meter = Meter(sources="cpu", synchronize=lambda: None)

    def work() -> None:
        with meter, meter.phase("train"):
            time.sleep(0.2)
            raise KeyError("x")

    with pytest.raises(KeyError):
        work()
    assert meter.energy.energy_j > 0
    assert meter.phases[0].energy.duration_s >= 0.2


def test_a_broken_device_does_not_hide_the_real_error() -> None:
    calls = []

    def synchronize() -> None:
        calls.append(1)
        if len(calls) > 2:
            raise RuntimeError("device-side assert")

    with pytest.raises(KeyError), Meter(sources="none", synchronize=synchronize) as meter, meter.phase("train"):
        raise KeyError("the real one")


def test_no_thread_runs_inside_the_metered_process() -> None:
    before = threading.active_count()
    with Meter(sources="cpu"):
        assert threading.active_count() == before


def test_without_sources_everything_is_absent_and_nothing_raises() -> None:
    with Meter(sources="none") as meter, meter.phase("train"):
        assert meter.joules() is None
    assert meter.energy.energy_j is None
    assert meter.phases[0].energy.energy_j is None
    assert any("not recorded" in w for w in meter.warnings)


def test_the_power_room_and_its_sampler_stay_light() -> None:
    code = (
        "import sys\nimport greenbench.power.sampler.main, greenbench.metering.meter, greenbench.power.sampler.live\n"
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
