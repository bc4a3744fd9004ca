"""The matrix is interleaved, its hashes follow what changes a result, and its predictions follow the budget."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from greenbench.config import (
    BudgetSection,
    CarbonSection,
    EvaluateSection,
    PowerSection,
    Suite,
    SuiteSection,
    TrainSection,
    load_suite,
)
from greenbench.errors import ConfigError
from greenbench.plan import Throughput, expand, measure_matmul, predict, print_plan, throughput_from
from greenbench.plan.matrix import arms
from greenbench.records import find_trials

SPEED = Throughput(flops_per_s=1e11, source="a test", power_w=50.0, power_source="a test")


def make(budget: dict[str, float] | None = None, **sections: Any) -> Suite:
    head = {"models": ("melhubert", "hubert"), "seeds": (0, 1, 2), "controls": (), **sections.pop("suite", {})}
    return Suite(SuiteSection(**head), BudgetSection(**(budget or {"seconds": 45.0})), **sections)


def test_arms_are_interleaved_a_b_b_a() -> None:
    plans = expand(make(suite={"controls": ("random",)}))
    assert [(p.label, p.seed) for p in plans] == [
        ("melhubert", 0),
        ("hubert", 0),
        ("random", 0),
        ("random", 1),
        ("hubert", 1),
        ("melhubert", 1),
        ("melhubert", 2),
        ("hubert", 2),
        ("random", 2),
    ]


def test_folders_are_named_after_label_seed_and_hash_and_are_distinct() -> None:
    plans = expand(make())
    assert all(p.folder_name == f"{p.label}-s{p.seed}-{p.config_hash}" and len(p.config_hash) == 8 for p in plans)
    assert len({p.folder_name for p in plans}) == len(plans)


def test_controls_run_once_per_seed_and_do_not_train() -> None:
    plans = expand(make(suite={"controls": ("logmel", "random", "random:hubert")}))
    controls = {p.label: p for p in plans if p.control}
    assert sum(p.label == "logmel" for p in plans) == 3
    assert (controls["logmel"].spec, controls["logmel"].family, controls["logmel"].trains) == (None, "control", False)
    assert controls["random"].spec is not None
    assert controls["random"].spec.card == "melhubert"
    assert controls["random-hubert"].spec is not None
    assert controls["random-hubert"].spec.card == "hubert"


def test_a_star_gives_every_model_its_own_random_control_in_its_own_folder() -> None:
    plans = expand(make(suite={"controls": ("random:hubert", "random:*"), "seeds": (0, 1)}))
    drawn = [p for p in plans if p.control]
    assert {(p.control, p.seed) for p in drawn} == {(f"random:{m}", s) for m in ("melhubert", "hubert") for s in (0, 1)}
    assert len({p.folder_name for p in drawn}) == len(drawn) == 4
    assert not any(c in p.folder_name for p in drawn for c in ":*")
    trained = {p.label: p.spec for p in plans if not p.control}
    assert all(p.spec == trained[p.control.partition(":")[2]] for p in drawn)


def test_weights_that_are_loaded_have_no_random_control() -> None:
    models = ("hubert", "pretrained")
    assert [p.label for p in expand(make(suite={"models": models, "seeds": (0,), "controls": ("random:*",)}))] == [
        "hubert",
        "pretrained",
        "random-hubert",
    ]
    with pytest.raises(ConfigError, match="weights are loaded"):
        expand(make(suite={"models": models, "controls": ("random:pretrained",)}))


def _hashes(suite: Suite) -> list[str]:
    return [p.config_hash for p in expand(suite)]


@pytest.mark.parametrize(
    "changed",
    [
        make({"seconds": 46.0}),
        make(train=TrainSection(batch_seconds=16.0)),
        make(evaluate=EvaluateSection(tasks=("keywords",))),
        make(suite={"data": "other"}),
        make(suite={"seeds": (7, 8, 9)}),
        make(suite={"size": "base"}),
        make(models={"melhubert": {"learning_rate": 0.5}, "hubert": {"learning_rate": 0.5}}),
    ],
)
def test_the_hash_changes_with_what_changes_the_result(changed: Suite) -> None:
    assert not set(_hashes(changed)) & set(_hashes(make()))


@pytest.mark.parametrize(
    "same",
    [
        make(carbon=CarbonSection(region="FRA")),
        make(power=PowerSection(hz=5.0)),
        make(train=TrainSection(checkpoint_seconds=5.0, log_seconds=9.0)),
        make(suite={"name": "other"}),
    ],
)
def test_the_hash_does_not_change_with_what_does_not(same: Suite) -> None:
    assert _hashes(same) == _hashes(make())


def test_an_arms_own_training_is_in_its_plan_and_hash_and_in_no_others() -> None:
    own = make(models={"hubert": {"train": {"batch_seconds": 8.0, "grad_accumulation": 4}}})
    before, after = {p.folder_name: p for p in expand(make())}, expand(own)
    assert [p.folder_name in before for p in after] == [p.label == "melhubert" for p in after]
    assert {(p.label, p.train.batch_seconds) for p in after} == {("melhubert", 32.0), ("hubert", 8.0)}
    # What an arm sets to the suite's own value changes nothing.
    same = make(models={"hubert": {"train": {"batch_seconds": 32.0}}})
    assert _hashes(same) == _hashes(make())


@pytest.mark.slow
def test_the_forecast_takes_each_arms_own_step() -> None:
    suite = make(
        {"steps": 100.0},
        suite={"models": ("a=eco", "b=eco", "c=eco"), "seeds": (0,)},
        models={"b": {"train": {"batch_seconds": 8.0}}, "c": {"train": {"layer_drop": 0.5}}},
    )
    a, b, c = predict(suite, throughput=SPEED)["trials"]
    assert b["audio_hours"] == pytest.approx(a["audio_hours"] / 4)
    assert b["peak_memory_bytes"] < 0.5 * a["peak_memory_bytes"]
    assert c["flops"] < 0.8 * a["flops"]


def test_one_model_under_two_names_has_one_hash_and_two_folders() -> None:
    plans = expand(make(suite={"models": ("a=melhubert", "b=melhubert"), "seeds": (0,)}))
    assert plans[0].config_hash == plans[1].config_hash
    assert plans[0].folder_name != plans[1].folder_name


def test_the_hash_is_the_same_in_another_process() -> None:
    code = (
        "from greenbench.config import *; from greenbench.plan import expand; "
        "s = Suite(SuiteSection(models=('melhubert',), controls=()), BudgetSection(seconds=45.0)); "
        "print(expand(s)[0].config_hash)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    suite = make(suite={"models": ("melhubert",), "seeds": (0,)})
    assert done.stdout.strip() == expand(suite)[0].config_hash


def test_an_edited_own_model_is_a_new_trial(tmp_path: Path) -> None:
    file = tmp_path / "own.py"
    file.write_text("class Own: pass\n")
    suite = make(suite={"models": (f"own={file}:Own",)})
    before = _hashes(suite)
    file.write_text("class Own: x = 1\n")
    assert not set(before) & set(_hashes(suite))


@pytest.mark.parametrize(
    ("head", "named"),
    [
        ({"controls": ("logmell",)}, "did you mean 'logmel'"),
        ({"controls": ("random:huber",)}, "did you mean 'hubert'"),
        ({"controls": ("logmel:hubert",)}, "unknown"),
        ({"models": ("logmel=hubert",), "controls": ("logmel",)}, "share the name 'logmel'"),
        ({"models": ("a/b=hubert",)}, "cannot name a folder"),
        ({"models": ("huber",)}, "did you mean 'hubert'"),
    ],
)
def test_mistakes_are_named_with_their_remedy(head: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        expand(make(suite=head))


def _trained(budget: dict[str, float], **sections: Any) -> dict[str, Any]:
    suite = make(budget, suite={"models": ("melhubert",), "seeds": (0,)}, **sections)
    found: dict[str, Any] = predict(suite, throughput=SPEED, grams_per_joule=1e-4)["trials"][0]
    return found


@pytest.mark.slow
def test_a_prediction_in_one_currency_is_the_budget_of_another() -> None:
    by_seconds = _trained({"seconds": 45.0})
    assert by_seconds["seconds"] == 45.0
    assert by_seconds["flops"] == pytest.approx(45.0 * 1e11)
    assert by_seconds["peak_memory_bytes"] > by_seconds["params"] * 4
    for budget in (
        {"joules": 45.0 * 50},
        {"grams_co2e": 45.0 * 50 * 1e-4},
        {"flops": by_seconds["flops"]},
        {"audio_hours": by_seconds["audio_hours"]},
    ):
        other = _trained(budget)
        for key in ("seconds", "audio_hours", "flops", "energy_kwh"):
            assert other[key] == pytest.approx(by_seconds[key]), (budget, key)
    steps = _trained({"steps": 10.0})
    assert (steps["steps"], steps["audio_hours"]) == (10, pytest.approx(10 * 32 / 3600))


@pytest.mark.slow
def test_energy_includes_evaluation_and_is_absent_without_a_power_figure() -> None:
    found = _trained({"seconds": 45.0})
    assert found["energy_kwh"] == pytest.approx((45.0 + found["evaluate_seconds"]) * 50.0 / 3.6e6)
    suite = make(suite={"seeds": (0,)})
    silent = predict(suite, throughput=Throughput(1e11, "a test"))
    assert silent["total"]["energy_kwh"] is None
    assert any("no power figure" in text for text in silent["guessed"])


def test_totals_add_up_and_controls_cost_no_training() -> None:
    suite = make(suite={"controls": ("random",), "seeds": (0, 1)})
    result = predict(suite, throughput=SPEED)
    assert result["total"]["trials"] == 6
    assert result["total"]["seconds"] == 4 * 45.0
    assert all(t["seconds"] == 0.0 and t["flops"] == 0.0 for t in result["trials"] if t["control"])
    console = Console(width=140)
    with console.capture() as captured:
        print_plan(result, console)
    assert "6 trials" in captured.get()
    assert all(t["folder"] in captured.get() for t in result["trials"])


def test_a_matrix_product_is_timed() -> None:
    assert measure_matmul(seconds=0.05, size=256) > 1e7


def test_planning_does_not_load_torch() -> None:
    code = (
        "import sys; import greenbench.plan, greenbench.compare, greenbench.budget; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_model_can_stand_beside_its_own_random_weights() -> None:
    suite = load_suite("quickstart", ["suite.models=eco,big=eco,hubert", "suite.controls=logmel,random:*,random:eco"])
    rows = arms(suite)
    controls = {arm.label: arm for arm in rows if arm.control}
    assert list(controls) == ["logmel", "random-eco", "random-big", "random-hubert"]
    for arm in rows[:3]:
        assert controls[f"random-{arm.label}"].spec == arm.spec


@pytest.mark.parametrize("width", [60, 80, 100, 140])
def test_a_plan_is_readable_at_every_width(width: int) -> None:
    suite = make(suite={"seeds": (0,)})
    result = predict(suite, throughput=SPEED, grams_per_joule=1e-5)
    console = Console(width=width)
    with console.capture() as captured:
        print_plan(result, console)
    lines = captured.get().splitlines()
    assert max(map(len, lines)) <= width
    row = next(line for line in lines if line.strip().startswith("melhubert"))
    assert "…" not in row
    for head in ("in all", "steps", "memory", "kWh", "gCO2e"):
        assert any(head in line for line in lines), head


def test_a_whole_trial_takes_more_than_its_training() -> None:
    found = _trained({"seconds": 45.0})
    assert found["wall_seconds"] > 45.0 + found["evaluate_seconds"]
    assert found["process_memory_bytes"] > found["peak_memory_bytes"]


def test_history_tells_what_a_trial_takes_around_its_training(tmp_path: Path) -> None:
    from tests.report.folders import ECO, write_run

    run = write_run(tmp_path / "run", arms=(ECO,), seeds=2, hz=4, budget_s=20, power=False)
    trials = find_trials([run])
    known = throughput_from(trials)
    assert known is not None
    assert known.around_s is not None
    around_s = [(t.figure("wall_s") or 0) - (t.figure("pretrain_s") or 0) for t in trials]
    assert known.around_s["eco", "tiny"] == pytest.approx(sum(around_s) / 2)
