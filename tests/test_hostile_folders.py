"""A run folder from a stranger: sizes, depth, impossible numbers and pickles cost one line or one trial, never more."""

from __future__ import annotations

import gzip
import json
import pickle
import resource
import shutil
from pathlib import Path
from typing import Any

import pytest

from greenbench.errors import DataError
from greenbench.power.journal.trace import read_journal
from greenbench.records import find_trials, number, read_jsonl
from tests.tones import REPOSITORY

FIXTURE = REPOSITORY / "tests" / "fixtures" / "run-schema-3"
TRIAL = "eco-s0-c96b8253"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return Path(shutil.copytree(FIXTURE, tmp_path / "run"))


class Runs:
    """A pickle that would leave a file behind wherever it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (Path.touch, (self.path,))


@pytest.mark.parametrize("name", ["manifest.json", "result.json", "sensors.json", "power.csv.gz", "events.jsonl"])
def test_a_pickle_in_place_of_any_file_is_not_loaded(name: str, run: Path, tmp_path: Path) -> None:
    trace = tmp_path / "it-ran"
    (run / TRIAL / name).write_bytes(pickle.dumps(Runs(trace)))
    if name.endswith(".json"):
        with pytest.raises(DataError, match=f"{name}: not valid JSON"):
            find_trials([run])
    else:
        (trial,) = find_trials([run])
        assert trial.events == [] or name != "events.jsonl"
        assert read_journal(run / TRIAL / "power.csv.gz").total() is not None
    assert not trace.exists()


@pytest.mark.parametrize("name", ["manifest.json", "result.json"])
@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 50_000, '{"schema_version": ' + "9" * 5000 + "}"])
def test_depth_and_endless_numbers_are_one_line(name: str, text: str, run: Path) -> None:
    (run / TRIAL / name).write_text(text)
    with pytest.raises(DataError, match=f"{name}: not valid JSON") as caught:
        find_trials([run])
    assert "\n" not in str(caught.value)


def test_a_file_larger_than_any_of_a_trial_is_not_read(run: Path) -> None:
    with (run / TRIAL / "result.json").open("ab") as file:
        file.truncate(2**33)  # a hole on the disk, 8 GiB for who reads it
    with pytest.raises(DataError, match=r"result\.json: has 8589934592 bytes"):
        find_trials([run])


def test_a_line_too_deep_costs_itself_alone(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1}\n' + "[" * 100_000 + '\n{"step": 2}\n')
    assert [line["step"] for line in read_jsonl(path)] == [1, 2]


@pytest.mark.slow
def test_zeros_made_to_fill_the_memory_are_a_torn_part(run: Path) -> None:
    """A member of a megabyte that unpacks to a gigabyte, between whole ones."""
    path = run / TRIAL / "power.csv.gz"
    whole = read_journal(path)
    path.write_bytes(path.read_bytes() + gzip.compress(bytes(2**30), 9, mtime=0) + gzip.compress(b"# {}\n", mtime=0))
    before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = read_journal(path)
    assert found.torn_members == whole.torn_members + 1
    assert found.total().energy_j == whole.total().energy_j
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib < 500 * 1024


@pytest.mark.parametrize(
    "header", ['{"segment": 5}', '{"segment": {"devices": ["x"]}}', "[1]", '{"end": 3}', "{" * 9000]
)
def test_a_damaged_header_keeps_the_readings(header: str, tmp_path: Path) -> None:
    rows = "".join(f"{i * 50_000_000},1,gpu0,nvml,measured,100.0\n" for i in range(100))
    path = tmp_path / "power.csv"
    path.write_text(f"# {header}\nt_mono_ns,read_ns,device,source,kind,power_w\n{rows}")
    assert read_journal(path).total().energy_j == pytest.approx(100 * 99 * 0.05)


@pytest.mark.parametrize("value", [10**400, float("nan"), float("inf"), True, "5", None, [5]])
def test_what_is_no_finite_number_is_absent(value: object) -> None:
    assert number(value) is None


def test_not_a_number_in_a_result_is_one_line(run: Path) -> None:
    path = run / TRIAL / "result.json"
    result = json.loads(path.read_text())
    result["energy"]["total"]["energy_j"] = float("nan")
    path.write_text(json.dumps(result))
    with pytest.raises(DataError, match="energy_j: found nan, which is no finite number"):
        find_trials([run])
