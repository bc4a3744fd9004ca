from __future__ import annotations

import json
import statistics
from pathlib import Path

import pytest

from greenbench.errors import ConfigError, DataError, IncomparableError
from greenbench.records import RESULT
from greenbench.report import write_report
from greenbench.report.collect import collect
from tests.report.folders import ECO, HUBERT, LOGMEL, MELHUBERT, RANDOM, write_run

GPU = {"name": "Example GPU", "uuid": "GPU-1", "driver": "999.1", "power_limit_w": 300.0, "mig": None}


def small(path: Path, **options: object) -> Path:
    settings: dict = {"arms": (ECO, MELHUBERT, LOGMEL), "seeds": 2, "hz": 1, "budget_s": 9, **options}
    return write_run(path, **settings)


@pytest.mark.parametrize(
    ("change", "key"),
    [({"cpu": "Another CPU"}, "cpu is 'Example CPU 8-core' and 'Another CPU'"), ({"gpu": (GPU,)}, None)],
)
def test_runs_of_other_hardware_are_refused_with_the_key_that_differs(
    tmp_path: Path, change: dict, key: str | None
) -> None:
    a, b = small(tmp_path / "a"), small(tmp_path / "b", **change)
    if key is None:
        b = small(tmp_path / "c", gpu=({**GPU, "power_limit_w": 250.0},))
        a, key = small(tmp_path / "d", gpu=(GPU,)), "gpu power limit is '300 W' and '250 W'"
    with pytest.raises(IncomparableError, match=key):
        collect([a, b])


def test_across_machines_shows_both_side_by_side_and_claims_nothing_across(tmp_path: Path) -> None:
    a, b = small(tmp_path / "a"), small(tmp_path / "b", cpu="Another CPU", arms=(HUBERT, LOGMEL))
    settings = collect([a, b], across_machines=True)
    assert [[arm.label for arm in s.contestants] for s in settings] == [["eco", "melhubert"], ["hubert"]]
    page = write_report([a, b], tmp_path / "out", across_machines=True).html.read_text(encoding="utf-8")
    assert "Example CPU 8-core" in page
    assert "Another CPU" in page
    assert "nothing else was run to hold it against" in page


def test_other_budgets_on_one_machine_are_never_averaged(tmp_path: Path) -> None:
    a, b = small(tmp_path / "a"), small(tmp_path / "b", budget_s=18.0)
    settings = collect([a, b])
    assert [s.keys["budget_limit"] for s in settings] == ["9", "18"]
    assert all(len(arm.trials) == 2 for s in settings for arm in s.arms)


def test_a_model_run_twice_becomes_two_arms_named_by_their_folders(tmp_path: Path) -> None:
    a, b = small(tmp_path / "before", arms=(ECO,)), small(tmp_path / "after", arms=(ECO,))
    (setting,) = collect([a, b])
    assert {arm.label for arm in setting.arms} == {"eco @ before", "eco @ after"}


def test_unfinished_trials_and_controls_stay_in_their_setting(tmp_path: Path) -> None:
    run = small(tmp_path / "a", arms=(ECO, MELHUBERT, LOGMEL, RANDOM))
    for folder in run.glob("*-s1-*"):
        (folder / RESULT).unlink()
    (setting,) = collect([run])
    assert len(setting.trials) == 8
    assert [arm.label for arm in setting.controls] == ["logmel", "random:eco"]
    assert all(len(arm.counted) == 1 for arm in setting.arms)


def test_invalid_trials_are_in_no_mean(tmp_path: Path) -> None:
    run = small(tmp_path / "a", seeds=3)
    folder = next(run.glob("eco-s1-*"))
    result = json.loads((folder / RESULT).read_text())
    result["valid"] = False
    (folder / RESULT).write_text(json.dumps(result))
    (setting,) = collect([run])
    eco = setting.arms[0]
    kept = [t.row["phones_per_pct"] for t in eco.trials if t.seed != 1]
    assert eco.mean("phones_per_pct") == pytest.approx(statistics.fmean(kept))


def test_the_baseline_can_be_chosen_and_a_wrong_one_is_named(tmp_path: Path) -> None:
    run = small(tmp_path / "a")
    for wanted, found in ((None, "melhubert"), ("eco", "eco")):
        (setting,) = collect([run], baseline=wanted)
        assert setting.baseline is not None
        assert setting.baseline.label == found
    with pytest.raises(ConfigError, match="did you mean 'melhubert'"):
        collect([run], baseline="melhubart")


def test_a_folder_without_trials_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no trial"):
        collect([tmp_path])
