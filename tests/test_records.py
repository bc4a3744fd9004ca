"""Run folders: atomic results, torn journals, crashed phases, schema versions."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenbench.errors import DataError, OutputError
from greenbench.records import (
    MANIFEST,
    RESULT,
    SCHEMA_VERSION,
    Journal,
    Trial,
    find_trials,
    load_trial,
    phase_spans,
    read_jsonl,
    write_json,
)
from greenbench.report import write_report


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


@given(st.lists(st.tuples(st.sampled_from(["setup", "pretrain", "evaluate"]), st.booleans()), max_size=8))
def test_every_phase_that_began_has_a_span_whether_it_ended_or_not(steps: list[tuple[str, bool]]) -> None:
    events, now = [{"event": "session", "t_mono_ns": 0}], 0
    for number, (name, ends) in enumerate(steps, start=1):
        now += 10
        events.append({"event": "begin", "phase": name, "t_mono_ns": now})
        now += 10
        events.append({"event": "end", "phase": name, "t_mono_ns": now} if ends else {"event": "x", "t_mono_ns": now})
        events.append({"event": "session", "session": number, "t_mono_ns": now + 1})
    spans = phase_spans(events)
    assert [(s.phase, s.complete) for s in spans] == steps
    assert all(s.end_ns - s.begin_ns == 10 for s in spans)


def test_curves_leave_out_steps_that_a_crash_threw_away(tmp_path: Path) -> None:
    write_json(tmp_path / MANIFEST, {"schema_version": 1})
    journal = Journal(tmp_path / "metrics.jsonl")
    for step in (1, 2, 3, 4, 3, 4, 5):
        journal.write(step=step, loss=float(step))
    journal.close()
    assert [r["step"] for r in load_trial(tmp_path).curve] == [1, 2, 3, 4, 5]


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
    row = trial.result["row"]
    assert trial.complete
    assert len(trial.curve) == 5
    # Whatever the folder says, emissions are those of IT energy: joules times intensity.
    expected_g = row["energy_total_j"] / 3.6e6 * row["carbon_intensity_g_per_kwh"]
    assert row["co2e_g"] == pytest.approx(expected_g)
    assert write_report([folder], tmp_path)
    assert "eco" in (tmp_path / "results.csv").read_text()


def test_a_fixture_is_kept_for_every_schema() -> None:
    assert [path.name for path in FIXTURES] == [f"run-schema-{n}" for n in range(1, SCHEMA_VERSION + 1)]
