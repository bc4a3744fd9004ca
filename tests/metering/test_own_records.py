"""A user's own program leaves records that are compared, checked and exported as a trial's are."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from greenbench.check import check
from greenbench.cli.repeated import Repetition, measure_repeatedly
from greenbench.compare import compare
from greenbench.errors import ConfigError
from greenbench.exports import export
from greenbench.metering.command import measure_command
from greenbench.metering.command_record import RecordPlan
from greenbench.metering.meter import Meter
from greenbench.metering.recording import parse_metric
from greenbench.power.sources.options import Sampling
from greenbench.records import Trial, find_trials

CPU = Sampling(sources="cpu")
# Works for so many seconds of processor time and logs how well it did.
PROGRAM = """
import json, os, sys, time
end = time.process_time() + float(sys.argv[1])
while time.process_time() < end:
    pass
os.write(int(os.environ["GREENBENCH_METRICS_FD"]), (json.dumps({"accuracy_own": float(sys.argv[2])}) + "\\n").encode())
"""


def program(seconds: float, accuracy: float = 0.9) -> list[str]:
    return [sys.executable, "-S", "-c", PROGRAM, str(seconds), str(accuracy)]


def record(folder: Path, label: str, *commands: list[str]) -> list[Trial]:
    metrics = dict([parse_metric("accuracy_own=higher")])
    for command in commands:
        measure_command(command, sampling=CPU, record=RecordPlan(folder, label, metrics))
    return [trial for trial in find_trials([folder]) if trial.label == label]


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five runs of a program and five of one that works three times as long and does no better."""
    folder = tmp_path_factory.mktemp("records")
    for _ in range(5):
        record(folder, "short", program(0.1))
        record(folder, "long", program(0.3))
    return folder


def by_metric(result: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {entry["metric"]: entry for entry in result["comparisons"]}


def sides(folder: Path) -> tuple[list[Trial], list[Trial]]:
    trials = find_trials([folder])
    return [t for t in trials if t.label == "short"], [t for t in trials if t.label == "long"]


def test_five_runs_a_side_say_which_program_takes_more(pair: Path) -> None:
    found = by_metric(compare(*sides(pair)))
    energy = found["energy_total_j"]
    assert energy["verdict"] == "worse"
    assert energy["p"] == pytest.approx(2 / 252)
    assert energy["p_floor"] == pytest.approx(2 / 252)
    assert found["accuracy_own"]["verdict"] == "no difference shown"


def test_a_gain_of_energy_counts_only_where_the_logged_quality_holds(pair: Path, tmp_path: Path) -> None:
    long = sides(pair)[1]
    careless = record(tmp_path, "careless", *[program(0.1, 0.5 + i / 100) for i in range(5)])
    found = by_metric(compare(long, careless))
    assert found["accuracy_own"]["verdict"] == "worse"
    assert found["energy_total_j"]["verdict"] == "no difference shown"
    assert "gain not counted" in found["energy_total_j"]["reason"]


def test_two_runs_a_side_are_not_enough(pair: Path) -> None:
    short, long = sides(pair)
    assert by_metric(compare(short[:2], long[:2]))["energy_total_j"]["verdict"] == "not enough runs"


@pytest.mark.parametrize(("metric", "limit", "code"), [("ceiling", 1e6, 0), ("ceiling", 1e-6, 1)])
def test_a_budget_is_held_against_records(pair: Path, tmp_path: Path, metric: str, limit: float, code: int) -> None:
    budgets = tmp_path / "budgets.toml"
    text = f'[[budget]]\nmetric = "energy_total_j"\n{metric} = {limit}\n'
    budgets.write_text(text + '[[budget]]\nmetric = "accuracy_own"\nfloor = 0.8\n', encoding="utf-8")
    result = check([pair], budgets)
    assert result["exit_code"] == code
    own = [entry for entry in result["entries"] if entry["metric"] == "accuracy_own"]
    assert {entry["verdict"] for entry in own} == {"pass"}


def test_records_are_exported(pair: Path) -> None:
    rows = list(csv.DictReader(io.StringIO(export([pair], "codecarbon")["emissions.csv"])))
    assert len(rows) == 10
    assert all(float(row["energy_consumed"]) > 0 for row in rows)
    table = list(csv.DictReader(io.StringIO(export([pair], "csv")["results.csv"])))
    assert {row["accuracy_own"] for row in table} == {"0.9"}


def test_a_command_that_fails_leaves_a_failed_record(tmp_path: Path) -> None:
    trials = record(tmp_path, "fails", [sys.executable, "-S", "-c", "raise SystemExit(3)"])
    assert [(t.status, t.error) for t in trials] == [("failed", "exit code 3")]


def test_lines_that_are_no_figures_are_left_out_with_a_word(tmp_path: Path) -> None:
    lines = ['{"own_a": 1}', "nonsense", '{"own_b": "x"}', ""]
    code = f"import os; os.write(int(os.environ['GREENBENCH_METRICS_FD']), {chr(10).join(lines).encode()!r})"
    result = measure_command([sys.executable, "-S", "-c", code], sampling=CPU, record=RecordPlan(tmp_path, "odd"))
    (trial,) = find_trials([tmp_path])
    assert trial.figure("own_a") == 1
    assert trial.figure("own_b") is None
    assert [text for text in result["warnings"] if text.startswith("line 2 of the command's metrics is left out")]
    assert [text for text in trial.warnings if text.startswith("line 3 of the command's metrics is left out")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("accuracy=up", r"metric accuracy=up: unknown direction 'up'; .*allowed: higher, lower, none"),
        ("energy_total_j=lower", r"'energy_total_j' is one of greenbench's own figures"),
        ("a-b=lower", r"metric 'a-b': letters, digits and _ only"),
    ],
)
def test_a_wrong_metric_is_refused_in_one_line(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_metric(text)


@pytest.mark.parametrize("options", [{"label": "x"}, {"repeat": 2}, {"interleave": "true"}, {"metrics": ["a=lower"]}])
def test_what_needs_a_record_says_so(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="needs --record DIR"):
        measure_repeatedly(Repetition(["true"], **options), as_json=True)


def test_two_commands_take_turns(tmp_path: Path) -> None:
    asked = Repetition(["a"], tmp_path, "mine", (), 3, "b --option 'of two words'", "other")
    assert [(list(argv), label) for argv, label in asked.turns()] == [
        (["a"], "mine"),
        (["b", "--option", "of two words"], "other"),
        (["b", "--option", "of two words"], "other"),
        (["a"], "mine"),
        (["a"], "mine"),
        (["b", "--option", "of two words"], "other"),
    ]


def test_a_meter_leaves_a_record_with_phases_figures_and_grams(tmp_path: Path) -> None:
    meter = Meter(record=tmp_path, label="loop", region="FRA", sources="cpu")
    meter.declare(own_loss="lower")
    with meter:
        with meter.phase("train") as phase:
            spin(0.2)
            meter.log(own_loss=0.5)
            live_j, live_g = phase.joules(), meter.co2e_g
        meter.log(own_loss=0.25)
    (trial,) = find_trials([tmp_path])
    assert meter.energy is not None
    assert 0 < live_j <= meter.energy.energy_j * 1.2
    assert live_g > 0
    assert meter.co2e_g == pytest.approx(trial.figure("co2e_g"))
    assert trial.figure("energy_total_j") == meter.energy.energy_j
    assert trial.figure("own_loss") == 0.25
    assert [p.phase for p in trial.phases] == ["train"]
    assert trial.phases[0].energy_j == phase.joules()
    assert [point.figure("own_loss") for point in trial.learning_curve] == [0.5, 0.25]
    assert (trial.status, trial.own_code, trial.factor.region) == ("ok", True, "FRA")


def test_a_meter_starts_and_stops_over_and_over(tmp_path: Path) -> None:
    meter = Meter(record=tmp_path, label="cells", sources="cpu")
    for _ in range(2):
        meter.start()
        spin(0.05)
        meter.stop()
        assert meter.joules() > 0
    meter.stop()
    assert [trial.seed for trial in find_trials([tmp_path])] == [0, 1]


def test_a_block_that_raises_leaves_a_failed_record_and_no_sampler(tmp_path: Path) -> None:
    meter = Meter(record=tmp_path, label="crash", sources="cpu")
    samplers = []

    @meter
    def fails() -> None:
        samplers.append(meter._sampler.pid)
        raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        fails()
    (trial,) = find_trials([tmp_path])
    assert (trial.status, trial.error) == ("failed", "ValueError: mine")
    with pytest.raises(ProcessLookupError):
        os.kill(samplers[0], 0)


def test_an_unknown_region_is_refused_before_anything_is_metered() -> None:
    with pytest.raises(ConfigError, match="unknown region"):
        Meter(region="FRX")


@pytest.mark.slow
def test_the_command_line_alternates_compares_and_reports(tmp_path: Path) -> None:
    def greenbench(*arguments: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "greenbench", *map(str, arguments)]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)

    (tmp_path / "work.py").write_text(PROGRAM, encoding="utf-8")
    command = f"{sys.executable} -S work.py"
    asked = ["--record", "records", "--sources", "cpu", "--metric", "accuracy_own=higher", "--repeat", "5"]
    done = greenbench(
        "measure", *asked, "--json", "--interleave", f"{command} 0.3 0.9", "--", *f"{command} 0.1 0.9".split()
    )
    assert done.returncode == 0, done.stderr
    assert "10 of 10: b" in done.stderr
    energy = by_metric(json.loads(done.stdout)["comparison"])["energy_total_j"]
    assert energy["verdict"] == "worse"
    again = greenbench("compare", "records:a", "records:b", "--json")
    assert by_metric(json.loads(again.stdout))["energy_total_j"] == energy
    assert greenbench("report", "records", "--out", "page").returncode == 0
    assert (tmp_path / "page" / "index.html").stat().st_size > 10_000


def spin(seconds: float) -> None:
    import time

    end = time.process_time() + seconds
    while time.process_time() < end:
        pass
