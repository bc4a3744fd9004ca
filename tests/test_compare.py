"""Runs are paired by seed, never pooled across what must agree, and a gain in energy needs quality first."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from greenbench.compare import compare, ladder, own_random, print_comparisons, print_ladder, print_own_random
from greenbench.errors import DataError, IncomparableError
from greenbench.records import MANIFEST, RESULT, Trial, load_trial, write_json

MACHINE = {"hostname": "a", "cpu": "Epyc", "cores": 2, "memory_bytes": 8, "os": "Linux", "boot_id": "x"}
CONFIG: dict[str, Any] = {"suite": {}, "budget": {"seconds": 45.0}, "evaluate": {"max_test_seconds": 600.0}}
GPU = [{"uuid": "GPU-1", "name": "H100", "power_limit_w": 700.0, "mig": None}]


def write_trial(folder: Path, label: str, seed: int, row: dict[str, Any], **manifest: Any) -> Trial:
    """Write a trial folder as a run does, and read it back."""
    path = folder / f"{label}-s{seed}-00000000"
    path.mkdir(parents=True)
    facts: dict[str, Any] = {
        "schema_version": 1,
        "suite": "t",
        "label": label,
        "card": "eco",
        "family": "efficient",
        "size": "tiny",
        "seed": seed,
        "control": "",
        "host": MACHINE,
        "gpu": [],
        "device": "cpu",
        "dtype": "float32",
        "data": {"spec": "mini", "fingerprint": "f00d"},
        "config": CONFIG,
    }
    write_json(path / MANIFEST, {**facts, **manifest})
    told = {"status": "ok", "valid": True, **row}
    write_json(path / RESULT, {"status": told["status"], "valid": told["valid"], "row": told})
    return load_trial(path)


def arm(
    folder: Path, label: str, errors: Sequence[float], energies: Sequence[float] | None = None, **extra: Any
) -> list[Trial]:
    energies = energies or [1000.0 + i for i in range(len(errors))]
    return [
        write_trial(folder, label, seed, {"phones_per_pct": error, "energy_budgeted_j": energy, "params": 10, **extra})
        for seed, (error, energy) in enumerate(zip(errors, energies, strict=True))
    ]


def entry(result: dict[str, Any], metric: str) -> dict[str, Any]:
    return next(c for c in result["comparisons"] if c["metric"] == metric)


def test_the_same_results_under_two_names_show_no_difference(tmp_path: Path) -> None:
    values, energies = [31.0, 30.2, 32.5, 29.9, 31.4], [1000.0, 1010.0, 995.0, 1003.0, 999.0]
    shaken = [energies[i] * f for i, f in enumerate((1.004, 0.997, 1.001, 1.003, 0.998))]
    result = compare(arm(tmp_path, "a", values, energies), arm(tmp_path, "b", [31.2, 30.0, 32.4, 30.1, 31.5], shaken))
    assert {c["verdict"] for c in result["comparisons"]} == {"no difference shown"}
    assert all(c["n"] == 5 and c["paired"] for c in result["comparisons"])


def test_three_against_three_is_not_enough_and_says_what_is(tmp_path: Path) -> None:
    result = compare(arm(tmp_path, "a", [60, 61, 62]), arm(tmp_path, "b", [10, 11, 12]), metrics=["phones_per_pct"])
    found = entry(result, "phones_per_pct")
    assert (found["verdict"], found["p_floor"]) == ("not enough runs", pytest.approx(0.10))
    assert "0.1" in found["reason"]
    assert "4 a side can decide" in found["reason"]
    text = _printed(result)
    assert "not enough runs" in text
    assert "(0.1)" in text


def test_five_seeds_give_a_claim_with_its_evidence(tmp_path: Path) -> None:
    base, new = [60, 61, 62, 59.5, 60.5], [50, 52, 53, 49, 50.5]
    found = entry(compare(arm(tmp_path, "a", base), arm(tmp_path, "b", new)), "phones_per_pct")
    assert found["verdict"] == "better"
    assert (found["base"], found["new"]) == (pytest.approx(60.6), pytest.approx(50.9))
    assert found["difference"] == pytest.approx(-9.7)
    assert found["low"] < -9.7 < found["high"] < 0
    assert found["p"] == found["p_floor"] == pytest.approx(2 / 252)
    assert found["p_adjusted"] >= found["p"]
    assert found["test"] == "permutation"


def test_the_contracts_keys_are_all_there_and_plain_json(tmp_path: Path) -> None:
    result = compare(arm(tmp_path, "a", [60.0]), arm(tmp_path, "b", [50.0]))
    keys = {"metric", "base", "new", "n", "difference", "low", "high", "p", "p_floor", "verdict"}
    for found in json.loads(json.dumps(result, allow_nan=False))["comparisons"]:
        assert keys <= set(found)
    assert entry(result, "phones_per_pct")["low"] is None


def test_an_energy_gain_of_a_worse_model_is_not_counted(tmp_path: Path) -> None:
    cheap = [500.0, 501, 502, 503, 504]
    base = arm(tmp_path, "a", [30, 30.5, 31, 30.2, 30.8])
    worse = entry(compare(base, arm(tmp_path, "b", [40, 40.5, 41, 40.2, 40.8], cheap)), "energy_budgeted_j")
    assert worse["verdict"] == "no difference shown"
    assert "gain not counted: PER" in worse["reason"]
    equal = entry(compare(base, arm(tmp_path, "c", [30.1, 30.4, 31.1, 30.1, 30.9], cheap)), "energy_budgeted_j")
    assert equal["verdict"] == "better"


def test_an_energy_gain_without_any_quality_is_not_counted(tmp_path: Path) -> None:
    def bare(label: str, joules: float) -> list[Trial]:
        return [write_trial(tmp_path, label, s, {"energy_budgeted_j": joules + s}) for s in range(5)]

    assert entry(compare(bare("a", 900), bare("b", 500)), "energy_budgeted_j")["reason"].endswith(
        "no quality was measured"
    )
    assert entry(compare(bare("c", 500), bare("d", 900)), "energy_budgeted_j")["verdict"] == "worse"


def test_counted_figures_need_no_test(tmp_path: Path) -> None:
    result = compare(arm(tmp_path, "a", [30.0], params=20), arm(tmp_path, "b", [30.0]))
    assert (entry(result, "params")["verdict"], entry(result, "params")["test"]) == ("better", "counted")
    assert entry(result, "params")["p"] is None


def test_seeds_are_matched_by_number_not_by_order(tmp_path: Path) -> None:
    seeds = [3, 1, 4, 0, 2]
    base = [write_trial(tmp_path, "a", s, {"phones_per_pct": 10.0 * s}) for s in range(5)]
    new = [write_trial(tmp_path, "b", s, {"phones_per_pct": 10.0 * s + 2}) for s in seeds]
    found = entry(compare(base, new), "phones_per_pct")
    assert (found["low"], found["high"]) == (pytest.approx(2.0), pytest.approx(2.0))


def test_other_seeds_are_compared_unpaired(tmp_path: Path) -> None:
    base = [write_trial(tmp_path, "a", s, {"phones_per_pct": 50.0 + s}) for s in range(5)]
    new = [write_trial(tmp_path, "b", s + 3, {"phones_per_pct": 30.0 + s}) for s in range(6)]
    found = entry(compare(base, new), "phones_per_pct")
    assert (found["paired"], found["n"], found["n_base"], found["n_new"]) == (False, 5, 5, 6)
    assert found["verdict"] == "better"


@pytest.mark.parametrize(
    ("change", "key", "shown"),
    [
        ({"host": {**MACHINE, "cpu": "Xeon"}}, "hardware.cpu", "Xeon"),
        ({"device": "cuda:0", "gpu": GPU}, "hardware.gpu", "H100"),
        ({"dtype": "bfloat16"}, "dtype", "bfloat16"),
        ({"data": {"spec": "mini", "fingerprint": "beef"}}, "data_fingerprint", "beef"),
        ({"config": {**CONFIG, "budget": {"seconds": 60.0}}}, "budget", "seconds = 60"),
        ({"config": {**CONFIG, "evaluate": {"max_test_seconds": 60.0}}}, "evaluate", "max_test_seconds = 60"),
    ],
)
def test_runs_that_must_not_be_pooled_are_refused(tmp_path: Path, change: dict[str, Any], key: str, shown: str) -> None:
    base = arm(tmp_path, "a", [30.0, 31.0])
    other = write_trial(tmp_path, "b", 0, {"phones_per_pct": 30.0}, **change)
    with pytest.raises(IncomparableError, match=f"^{key} differs") as caught:
        compare(base, [other])
    assert shown in str(caught.value)
    assert str(other.path) in str(caught.value)
    assert "\n" not in str(caught.value)


def _own(dtype: str) -> dict[str, Any]:
    """Return the manifest of an arm that sets its number format itself."""
    return {"dtype": dtype, "train": {"dtype": dtype}, "config": {**CONFIG, "train": {"dtype": "float32"}}}


def test_what_an_arm_sets_for_itself_is_what_is_compared(tmp_path: Path) -> None:
    plain = {"config": _own("float32")["config"], "train": {"dtype": "float32"}}
    base = [write_trial(tmp_path, "eco", s, {"phones_per_pct": 30.0 + s}, **plain) for s in range(2)]
    new = [write_trial(tmp_path, "bf16", s, {"phones_per_pct": 30.0 + s}, **_own("bfloat16")) for s in range(2)]
    assert entry(compare(base, new), "phones_per_pct")["n"] == 2
    # Under one label it must still be one thing, and arms that set nothing must agree as ever.
    other = write_trial(tmp_path / "later", "bf16", 0, {"phones_per_pct": 30.0}, **_own("float16"))
    with pytest.raises(IncomparableError, match=r"^dtype differs: bfloat16 in .* but float16"):
        compare(new, [other])
    stray = write_trial(tmp_path / "stray", "eco", 0, {"phones_per_pct": 30.0}, dtype="float16")
    with pytest.raises(IncomparableError, match=r"^dtype differs: float32"):
        compare([*base, *new], [stray])


def test_the_power_limit_of_a_gpu_is_part_of_the_hardware(tmp_path: Path) -> None:
    def on_gpu(label: str, limit_w: float, uuid: str) -> list[Trial]:
        gpu = [{**GPU[0], "power_limit_w": limit_w, "uuid": uuid}]
        return [write_trial(tmp_path, label, 0, {"phones_per_pct": 30.0}, device="cuda:0", gpu=gpu)]

    compare(on_gpu("a", 700.0, "GPU-1"), on_gpu("b", 700.0, "GPU-2"))
    with pytest.raises(IncomparableError, match=r"hardware\.gpu differs"):
        compare(on_gpu("c", 700.0, "GPU-1"), on_gpu("d", 400.0, "GPU-1"))


def test_labels_are_matched_and_a_single_base_meets_all(tmp_path: Path) -> None:
    both = arm(tmp_path / "1", "a", [30.0]) + arm(tmp_path / "1", "b", [30.0])
    later = arm(tmp_path / "2", "b", [31.0]) + arm(tmp_path / "2", "a", [31.0])
    pairs = {(c["base_label"], c["new_label"]) for c in compare(both, later)["comparisons"]}
    assert pairs == {("a", "a"), ("b", "b")}
    pairs = {(c["base_label"], c["new_label"]) for c in compare(both[:1], later)["comparisons"]}
    assert pairs == {("a", "b"), ("a", "a")}
    strangers = arm(tmp_path / "3", "c", [1.0]) + arm(tmp_path / "3", "d", [1.0])
    with pytest.raises(IncomparableError, match="no model is on both sides"):
        compare(both, strangers)


def test_unfinished_and_spoiled_runs_do_not_count(tmp_path: Path) -> None:
    base = arm(tmp_path, "a", [30.0, 31.0])
    new = [*arm(tmp_path, "b", [30.0, 31.0], valid=False)]
    (new[0].path / RESULT).unlink()
    result = compare(base, [load_trial(t.path) for t in new])
    assert result["notes"] == ["1 run without a result left out"]
    assert {c["metric"] for c in result["comparisons"]} == {"phones_per_pct", "params"}
    for trial in base:
        (trial.path / RESULT).unlink()
    with pytest.raises(DataError, match="BASE: holds no complete run"):
        compare([load_trial(t.path) for t in base], new)
    with pytest.raises(DataError, match="did you mean 'phones_per_pct'"):
        compare(new[1:], new[1:], metrics=["phone_per_pct"])


def _printed(result: dict[str, Any]) -> str:
    console = Console(width=200, record=True, quiet=False, file=None, force_terminal=False)
    with console.capture() as captured:
        print_comparisons(result, console)
    return captured.get()


LADDER = {"config": {**CONFIG, "suite": {"models": ["low=eco", "mid=eco", "top=eco"]}}}


def steps_of(folder: Path, **errors: Sequence[float]) -> list[Trial]:
    return [
        write_trial(folder, label, seed, {"phones_per_pct": error, "audio_h": 0.5, "pretrain_flops": 1e12}, **LADDER)
        for label, values in errors.items()
        for seed, error in enumerate(values)
    ]


def test_a_ladder_holds_each_model_against_the_one_before_it_in_the_suite(tmp_path: Path) -> None:
    trials = steps_of(
        tmp_path, top=[40.0, 41, 42, 40.5, 41.5], low=[60.0, 61, 62, 60.5, 61.5], mid=[60.1, 61, 62, 60, 61]
    )
    result = ladder(trials)
    assert [row["label"] for row in result["steps"]] == ["low", "mid", "top"]
    steps = [{c["metric"]: c for c in row["comparisons"]} for row in result["steps"]]
    assert steps[0] == {}
    assert steps[1]["phones_per_pct"]["verdict"] == "no difference shown"
    assert steps[2]["phones_per_pct"]["verdict"] == "better"
    pair = entry(compare(trials[10:], trials[:5]), "phones_per_pct")
    assert steps[2]["phones_per_pct"] == pair
    assert result["steps"][2]["means"]["phones_per_pct"] == pytest.approx(41.0)


def test_a_ladder_prints_one_row_a_step_with_its_verdict(tmp_path: Path) -> None:
    result = ladder(steps_of(tmp_path, low=[60.0, 61, 62, 60.5, 61.5], top=[40.0, 41, 42, 40.5, 41.5]))
    console = Console(record=True, width=200, file=io.StringIO())
    print_ladder(result, console)
    text = console.export_text()
    assert "better, -20.0 points" in text
    assert "1.00 TFLOP" in text
    assert "0.50 h" in text


def test_a_ladder_says_which_step_is_missing_and_needs_two(tmp_path: Path) -> None:
    trials = steps_of(tmp_path, low=[60.0], mid=[50.0], top=[40.0])
    (trials[1].path / RESULT).unlink()
    result = ladder([load_trial(t.path) for t in trials])
    assert [row["label"] for row in result["steps"]] == ["low", "top"]
    assert result["notes"] == ["mid: no complete run, left out"]
    with pytest.raises(DataError, match="two models"):
        ladder(trials[:1])


def drawn(folder: Path, label: str, errors: Sequence[float]) -> list[Trial]:
    return [
        write_trial(folder, f"random-{label}", seed, {"phones_per_pct": error}, control=f"random:{label}")
        for seed, error in enumerate(errors)
    ]


def test_each_model_is_held_against_its_own_random_weights_paired_by_seed(tmp_path: Path) -> None:
    learnt = arm(tmp_path, "learnt", [40.0, 41, 42, 40.5, 41.5, 42.5])
    idle = arm(tmp_path, "idle", [60.0, 61, 62, 60.5, 61.5, 62.5])
    lone = arm(tmp_path, "lone", [10.0])
    shape = drawn(tmp_path, "learnt", [70.0, 71, 72, 70.5, 71.5, 72.5])
    other = drawn(tmp_path, "idle", [60.1, 60.9, 62.1, 60.4, 61.6, 62.4])
    result = own_random([*learnt, *idle, *lone, *reversed(shape), *other])
    by_label = {e["label"]: {c["metric"]: c for c in e["comparisons"]} for e in result["models"]}
    assert {label: found["phones_per_pct"]["verdict"] for label, found in by_label.items()} == {
        "learnt": "better",
        "idle": "no difference shown",
    }
    found = by_label["learnt"]["phones_per_pct"]
    assert (found["paired"], found["difference"], found["low"]) == (True, pytest.approx(-30.0), pytest.approx(-30.0))
    assert set(by_label["learnt"]) == {"phones_per_pct"}
    assert len(result["notes"]) == 1
    assert "random:lone" in result["notes"][0]
    console = Console(record=True, width=200, file=io.StringIO())
    print_own_random(result, console)
    assert "better, -30.0 points" in console.export_text()
    with pytest.raises(DataError, match="random control"):
        own_random([*lone, *shape])
