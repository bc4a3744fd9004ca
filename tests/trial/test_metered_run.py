"""``greenbench run`` with sensors whose truth is known: a fake NVIDIA driver under the real pynvml, and a recording."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from greenbench.power.journal.file import read_segments
from greenbench.records import EVENTS, RESULT, load_trial, read_jsonl
from greenbench.trial.finish import finish
from tests.fake_nvml import UUIDS, FakeDriver, FakeGpu, Load, build, compiler

pytestmark = pytest.mark.slow
Command = Callable[..., list[str]]
SHORT = ("budget.steps=20", "evaluate.tasks=", "protocol.idle_seconds=1.0")


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if compiler() is None:
        pytest.skip("no C compiler to build the fake NVIDIA driver with")
    return build(tmp_path_factory.mktemp("nvml"))


def run(command: list[str], environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, env=environment)


def trial_of(out: Path) -> Path:
    (folder,) = out.glob("eco-*")
    return folder


def read(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text()))


@pytest.fixture(scope="module")
def metered(
    library: Path, command: Command, environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, FakeDriver, list[Load]]:
    """Run one tiny suite beside three cards of which two are named, and an index that is a guess."""
    folder = tmp_path_factory.mktemp("metered")
    driver = FakeDriver(library, folder)
    loads = [Load.constant(50), Load.points((0, 100), (60, 400)), Load.square(0.7, 60, 260)]
    driver.program(*(FakeGpu(load, options={"name": f"Fake {i}"}) for i, load in enumerate(loads)))
    devices = f"power.devices=cuda:1,{UUIDS[2]}"
    done = run(
        command(folder / "out", *SHORT, "power.sources=nvml", devices, report=True),
        {**environment, **driver.environment},
    )
    assert done.returncode == 0, done.stderr
    return trial_of(folder / "out"), driver, loads


def truth(driver: FakeDriver, loads: list[Load], begin_ns: int, end_ns: int) -> float:
    return sum(load.energy_j(driver.seconds(begin_ns), driver.seconds(end_ns)) for load in loads)


def test_a_run_books_the_true_joules_of_the_named_cards_marked_measured(
    metered: tuple[Path, FakeDriver, list[Load]],
) -> None:
    folder, driver, loads = metered
    result = read(folder / RESULT)
    total, row = result["energy"]["total"], result["row"]
    events = [e for e in read_jsonl(folder / EVENTS) if e["event"] != "warning"]
    begin = next(e["t_mono_ns"] for e in events if e["event"] == "session")
    exact = truth(driver, loads[1:], begin, events[-1]["t_mono_ns"])
    assert total["energy_j"] == pytest.approx(exact, rel=0.01)
    assert abs(total["energy_j"] - exact) <= total["uncertainty_j"]
    assert (total["kind"], row["energy_source"], total["source"]) == ("measured", "measured", "nvml")
    assert row["energy_total_j"] == total["energy_j"]
    assert result["valid"] is True


def test_every_phase_of_a_run_has_its_own_true_joules(metered: tuple[Path, FakeDriver, list[Load]]) -> None:
    folder, driver, loads = metered
    phases = [p for p in read(folder / RESULT)["phases"] if p["duration_s"] > 0.5]
    assert {"idle", "setup"} <= {p["phase"] for p in phases}
    for phase in phases:
        exact = truth(driver, loads[1:], phase["begin_ns"], phase["end_ns"])
        assert phase["energy_low_j"] <= exact <= phase["energy_high_j"], phase["phase"]
        assert phase["energy_j"] == pytest.approx(exact, rel=0.05), phase["phase"]


def test_a_costly_counter_is_read_near_every_phase_and_rarely_between(
    library: Path, command: Command, environment: dict[str, str], tmp_path: Path
) -> None:
    """The sensor's power is what the counter says times two: only readings near the edges keep phases apart."""
    driver, load = FakeDriver(library, tmp_path), Load.square(0.5, 60, 260)
    driver.program(FakeGpu(load, options={"counter_ms": 5, "gain": 0.5}))
    options = ("budget.seconds=8", "evaluate.tasks=", "protocol.idle_seconds=1.0", "power.sources=nvml")
    done = run(command(tmp_path / "out", *options, f"power.devices={UUIDS[0]}"), {**environment, **driver.environment})
    assert done.returncode == 0, done.stderr
    folder = trial_of(tmp_path / "out")
    (segment,) = read_segments(folder / "power.csv.gz").segments
    counter = [s.t_mono_ns for s in segment.samples if s.energy_j is not None]
    phases = [p for p in read(folder / RESULT)["phases"] if p["duration_s"] > 0.5]
    (pretrain,) = [p for p in phases if p["phase"] == "pretrain"]
    for phase in phases:
        exact = 0.5 * truth(driver, [load], phase["begin_ns"], phase["end_ns"])
        assert phase["energy_j"] == pytest.approx(exact, rel=0.02, abs=30), phase["phase"]
        assert min(t - phase["begin_ns"] for t in counter if t > phase["begin_ns"]) < 1e9, phase["phase"]
    inside = [t for t in counter if pretrain["begin_ns"] + 2e9 < t < pretrain["end_ns"] - 1e8]
    assert len(inside) <= 1


def test_the_trial_names_the_cards_that_were_read(metered: tuple[Path, FakeDriver, list[Load]]) -> None:
    gpus = load_trial(metered[0]).gpus
    assert [(g.name, g.uuid) for g in gpus] == [("Fake 1", UUIDS[1]), ("Fake 2", UUIDS[2])]
    assert {(g.driver, g.power_limit_w, g.mig, g.source) for g in gpus} == {("550.54.15", 700.0, False, "nvml")}
    assert [g.pci_bus_id for g in gpus] == ["00000000:02:00.0", "00000000:03:00.0"]


def test_idle_power_is_the_true_one_and_a_cpu_trial_claims_no_cuda_context(
    metered: tuple[Path, FakeDriver, list[Load]],
) -> None:
    folder, driver, loads = metered
    result = read(folder / RESULT)
    (idle,) = [p for p in result["phases"] if p["phase"] == "idle"]
    exact = truth(driver, loads[1:], idle["begin_ns"], idle["end_ns"]) / idle["duration_s"]
    assert result["row"]["idle_power_w"] == pytest.approx(exact, rel=0.05)
    assert "idle_context_power_w" not in result["row"]
    assert result["energy"]["total"]["energy_j"] > result["energy"]["idle"]["energy_j"]


def test_a_guessed_card_reaches_the_result_and_the_report(metered: tuple[Path, FakeDriver, list[Load]]) -> None:
    folder = metered[0]
    assert any("fastest first" in text for text in read(folder / RESULT)["warnings"])
    assert "fastest first" in (folder.parent / "report" / "index.html").read_text(encoding="utf-8")


def test_a_result_can_be_computed_again_from_its_folder(metered: tuple[Path, FakeDriver, list[Load]]) -> None:
    folder = metered[0]
    before = read(folder / RESULT)
    assert finish(load_trial(folder)).row == before["row"]
    assert read(folder / RESULT) == before


def test_a_cpu_trial_leaves_idle_cards_out_of_its_joules(
    library: Path, command: Command, environment: dict[str, str], tmp_path: Path
) -> None:
    driver = FakeDriver(library, tmp_path)
    driver.program(FakeGpu(Load.constant(300)))
    no_rapl = {"GREENBENCH_POWERCAP": str(tmp_path / "none")}
    done = run(command(tmp_path / "out", *SHORT), {**environment, **driver.environment, **no_rapl})
    assert done.returncode == 0, done.stderr
    folder = trial_of(tmp_path / "out")
    assert load_trial(folder).gpus == ()
    assert {d["source"] for d in read(folder / RESULT)["energy"]["total"]["devices"]} == {"cpu", "ram"}


def test_a_replayed_recording_gives_a_run_its_joules_as_recorded(
    command: Command, environment: dict[str, str], tmp_path: Path
) -> None:
    recording = tmp_path / "recording.csv"
    rows = [f"{t / 10:g},150,{15 * t:g}" for t in range(11)]
    recording.write_text("\n".join(["t_s,power_w,energy_j", *rows]) + "\n")
    done = run(command(tmp_path / "out", *SHORT, f"power.sources=replay:{recording}"), environment)
    assert done.returncode == 0, done.stderr
    result = read(trial_of(tmp_path / "out") / RESULT)
    assert result["energy"]["total"]["source"] == "replay"
    assert result["row"]["energy_source"] == "measured"
    assert result["row"]["energy_total_j"] == pytest.approx(150 * result["row"]["wall_s"], rel=0.02)
    assert result["row"]["idle_power_w"] == pytest.approx(150, rel=0.05)
    assert any("recorded earlier" in text for text in result["warnings"])


def test_a_sampler_that_cannot_write_costs_the_energy_and_not_the_training(
    command: Command, environment: dict[str, str], tmp_path: Path
) -> None:
    """The journal's name is taken by a folder: the trial ends with a result, no joules, and the reason."""
    out = tmp_path / "out"
    stopped = run(command(out, *SHORT, "power.sources=cpu"), environment)
    assert stopped.returncode == 0, stopped.stderr
    folder = trial_of(out)
    (folder / RESULT).unlink()
    (folder / "power.csv.gz").unlink()
    (folder / "power.csv.gz").mkdir()
    done = run(command(out, *SHORT, "power.sources=cpu"), environment)
    assert done.returncode == 0, done.stderr
    result = read(folder / RESULT)
    assert result["status"] == "ok"
    assert "energy_total_j" not in result["row"]
    assert any("power.csv.gz" in text and "cannot be read" in text for text in result["warnings"])
    assert any("did not become ready" in text for text in result["warnings"])


def test_a_disk_that_fills_up_is_told_in_the_result(
    library: Path, command: Command, environment: dict[str, str], tmp_path: Path
) -> None:
    """The sampler may write 4 KiB and no more: its warning comes through the pipe, as the journal cannot hold it."""
    driver = FakeDriver(library, tmp_path)
    driver.program(FakeGpu(Load.constant(300)))
    limits = tmp_path / "limits"
    limits.mkdir()
    (limits / "sitecustomize.py").write_text(
        "import resource, signal, sys\n"
        "if 'greenbench.power.sampler.main' in ' '.join(sys.orig_argv):\n"
        "    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
    )
    path = os.pathsep.join([str(limits), environment.get("PYTHONPATH", "")])
    done = run(
        command(tmp_path / "out", *SHORT, "power.sources=nvml"),
        {**environment, **driver.environment, "PYTHONPATH": path},
    )
    assert done.returncode == 0, done.stderr
    result = read(trial_of(tmp_path / "out") / RESULT)
    assert any("readings are kept in memory" in text for text in result["warnings"])
    assert result["valid"] is False
