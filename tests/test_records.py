"""Run folders: atomic results, torn journals, crashed phases, schema versions."""

from __future__ import annotations

import csv
import io
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenbench import load_runs
from greenbench.compare import compare
from greenbench.errors import DataError, OutputError
from greenbench.records import (
    MANIFEST,
    RESULT,
    SCHEMA_VERSION,
    Event,
    Journal,
    Trial,
    find_trials,
    load_trial,
    phase_spans,
    read_jsonl,
    write_json,
)
from greenbench.report import write_report
from greenbench.report.tables.csv_files import PHASE_COLUMNS, RESULT_COLUMNS, phase_rows, result_row, write_rows


def test_not_finite_figures_become_null(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"x": float("nan"), "y": [float("inf"), 1.0]})
    assert json.loads((tmp_path / "a.json").read_text()) == {"x": None, "y": [None, 1.0]}


def test_a_killed_writer_leaves_the_old_file_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"n": -1})
    code = (
        "import sys\nfrom pathlib import Path\nfrom greenbench.records import write_json\n"
        "n = 0\n"
        "while True:\n    n += 1\n    write_json(Path(sys.argv[1]), {'n': n, 'pad': 'x' * 20000})\n"
        "    print(n, flush=True)"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    for _ in range(30):
        process.stdout.readline()
    process.kill()
    process.wait()
    process.stdout.close()
    found = json.loads(path.read_text())
    assert found["n"] >= 30
    assert len(found["pad"]) == 20000


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"gone/a\.json: cannot be written"):
        write_json(tmp_path / "gone" / "a.json", {})


def test_a_torn_line_is_skipped_and_never_glued_to_the_next(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(b'{"event": "a", "t_mono_ns": 1}\n{"event": "b", "t_mo')
    journal = Journal(path)
    journal.write(event="c")
    journal.close()
    assert [r["event"] for r in read_jsonl(path)] == ["a", "c"]


_FULL = """
import resource, signal, sys
from pathlib import Path
from greenbench.errors import OutputError
from greenbench.records import Journal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
path = Path(sys.argv[1])
first, second = Journal(path), Journal(path)
first.write(event="a")
resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 20, resource.RLIM_INFINITY))
try:
    first.write(event="b")
except OutputError as error:
    print(error)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
second.write(event="c")
"""


def test_a_line_that_a_full_disk_cut_short_swallows_no_other_process_line(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    done = subprocess.run([sys.executable, "-c", _FULL, str(path)], capture_output=True, text=True, check=True)
    assert f"{path}: cannot be written" in done.stdout
    assert "free space, then run the same command again" in done.stdout
    lines = path.read_text().splitlines()
    assert [json.loads(line)["event"] for line in lines] == ["a", "c"]


@given(st.lists(st.tuples(st.sampled_from(["setup", "pretrain", "evaluate"]), st.booleans()), max_size=8))
def test_every_phase_that_began_has_a_span_whether_it_ended_or_not(steps: list[tuple[str, bool]]) -> None:
    events, now = [Event("session", 0)], 0
    for number, (name, ends) in enumerate(steps, start=1):
        now += 10
        events.append(Event("begin", now, phase=name))
        now += 10
        events.append(Event("end", now, phase=name) if ends else Event("x", now))
        events.append(Event("session", now + 1, session=number))
    spans = phase_spans(events)
    assert [(s.phase, s.complete) for s in spans] == steps
    assert all(s.end_ns - s.begin_ns == 10 for s in spans)


def test_curves_leave_out_steps_that_a_crash_threw_away(tmp_path: Path) -> None:
    write_json(tmp_path / MANIFEST, {"schema_version": 1})
    journal = Journal(tmp_path / "metrics.jsonl")
    for step in (1, 2, 3, 4, 3, 4, 5):
        journal.write(step=step, loss=float(step))
    journal.close()
    assert [point.step for point in load_trial(tmp_path).learning_curve] == [1, 2, 3, 4, 5]


def test_a_newer_schema_is_refused_and_a_damaged_file_named(tmp_path: Path) -> None:
    write_json(tmp_path / MANIFEST, {"schema_version": 99})
    with pytest.raises(DataError, match="schema_version 99 is newer"):
        load_trial(tmp_path)
    (tmp_path / MANIFEST).write_text("{")
    with pytest.raises(DataError, match=r"manifest\.json: not valid JSON"):
        load_trial(tmp_path)


def test_trials_are_found_below_run_folders_and_only_results_make_them_complete(tmp_path: Path) -> None:
    for name in ("b", "a"):
        (tmp_path / name).mkdir()
        write_json(tmp_path / name / MANIFEST, {"schema_version": 1})
    write_json(tmp_path / "a" / RESULT, {"row": {"model": "a"}})
    found: list[Trial] = find_trials([tmp_path])
    assert [(t.path.name, t.complete) for t in found] == [("a", True), ("b", False)]
    (tmp_path / "a" / "x").mkdir()
    with pytest.raises(DataError, match="holds no trial"):
        find_trials([tmp_path / "a" / "x"])


FIXTURES = sorted((Path(__file__).parent / "fixtures").glob("run-schema-*"))


@pytest.mark.parametrize("folder", FIXTURES, ids=lambda path: path.name)
def test_a_run_folder_of_every_schema_still_loads_and_reports(folder: Path, tmp_path: Path) -> None:
    """Each was run with 0.1.0 of its time: five steps of eco, region FRA, PUE 1.2."""
    (trial,) = find_trials([folder])
    assert trial.complete
    assert len(trial.learning_curve) == 5
    # Whatever the folder says, emissions are those of IT energy: joules times intensity.
    energy_j, intensity = trial.figure("energy_total_j"), trial.figure("carbon_intensity_g_per_kwh")
    assert energy_j is not None
    assert intensity is not None
    assert trial.figure("co2e_g") == pytest.approx(energy_j / 3.6e6 * intensity)
    assert write_report([folder], tmp_path)
    assert "eco" in (tmp_path / "results.csv").read_text()


EXPECTED = Path(__file__).parent / "fixtures" / "expected"
"""What version 0.1.0 made of the first two schemas when they were the newest."""


@pytest.mark.parametrize("version", [1, 2])
def test_old_run_folders_give_the_tables_that_they_gave_when_they_were_new(version: int) -> None:
    trials = find_trials([EXPECTED.parent / f"run-schema-{version}"])
    for name, columns, rows in (
        ("results", RESULT_COLUMNS, map(result_row, trials)),
        ("phases", PHASE_COLUMNS, (row for trial in trials for row in phase_rows(trial))),
    ):
        expected = (EXPECTED / f"{name}-{version}.csv").read_text(encoding="utf-8")
        known = next(csv.reader(io.StringIO(expected)))
        assert [column for column in columns if column in known] == known  # later versions have more
        text = io.StringIO()
        write_rows(text, known, rows)
        assert text.getvalue() == expected


def test_old_run_folders_compare_as_they_did_when_they_were_new() -> None:
    base, new = (find_trials([EXPECTED.parent / f"run-schema-{version}"]) for version in (1, 2))
    expected = json.loads((EXPECTED / "compare-1-2.json").read_text(encoding="utf-8"))
    assert json.loads(json.dumps(compare(base, new))) == expected


def test_runs_load_into_a_table_with_the_columns_of_the_csv_and_nothing_invented(tmp_path: Path) -> None:
    shutil.copytree(EXPECTED.parent / "run-schema-2", tmp_path / "run")
    copied = next((tmp_path / "run").glob("*/"))
    shutil.copytree(copied, tmp_path / "run" / "unfinished")
    (tmp_path / "run" / "unfinished" / RESULT).unlink()
    table = load_runs(tmp_path / "run")
    assert tuple(table.columns) == RESULT_COLUMNS
    done, unfinished = (table[table.status == status].iloc[0] for status in ("ok", "incomplete"))
    with (EXPECTED / "results-2.csv").open(encoding="utf-8") as file:
        (row,) = csv.DictReader(file)
    assert done.energy_total_j == float(row["energy_total_j"])
    assert (done.steps, done.valid, done.energy_source) == (5, True, "modelled")
    assert unfinished[["energy_total_j", "phones_per_pct", "steps", "valid"]].isna().all()
    assert (unfinished.model, unfinished.budget_limit) == ("eco", 5)
    assert len(load_runs([tmp_path / "run", EXPECTED.parent / "run-schema-1"])) == 3


def test_a_manifest_with_keys_of_another_version_loads_and_one_with_a_wrong_type_is_named(tmp_path: Path) -> None:
    table = json.loads(next((EXPECTED.parent / "run-schema-2").glob("*/manifest.json")).read_text(encoding="utf-8"))
    table["config"]["train"]["of_the_future"] = table["mood"] = "good"
    table["host"]["cpu"] = None
    write_json(tmp_path / MANIFEST, table)
    trial = load_trial(tmp_path)
    assert (trial.label, trial.host.cpu, trial.budget) == ("eco", "", ("steps", 5.0))
    write_json(tmp_path / MANIFEST, {**table, "seed": "first"})
    with pytest.raises(DataError, match=r"manifest\.json seed: expected int, found 'first'"):
        load_trial(tmp_path)


def test_a_phase_that_is_not_charged_or_not_budgeted_is_not_paid_for() -> None:
    events = [Event("session", 0)]
    for number, (phase, charged) in enumerate([("setup", True), ("features", True), ("features", False)], start=1):
        events += [Event("begin", 10 * number, phase=phase, charged=charged), Event("end", 10 * number, phase=phase)]
    # Two phases that begin at the same nanosecond are told apart by what they say, not by when they were.
    events += [Event("begin", 20, phase="pretrain"), Event("end", 25, phase="pretrain")]
    assert [(s.phase, s.charged) for s in phase_spans(events)] == [
        ("setup", False),
        ("features", True),
        ("features", False),
        ("pretrain", True),
    ]


def test_a_fixture_is_kept_for_every_schema() -> None:
    assert [path.name for path in FIXTURES] == [f"run-schema-{n}" for n in range(1, SCHEMA_VERSION + 1)]
