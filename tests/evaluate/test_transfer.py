"""Strategies train what they say, leave the model alone, learn, and cost what the allocator says."""

from __future__ import annotations

import copy
import sys
from dataclasses import replace
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from greenbench.config import BudgetSection, EvaluateSection
from greenbench.cost.model_cost import feature_flops_per_audio_s
from greenbench.errors import ConfigError
from greenbench.evaluate import Evaluation, evaluate
from greenbench.evaluate.context import Context, Side
from greenbench.evaluate.runner import check_settings
from greenbench.evaluate.transfer import STRATEGIES
from greenbench.evaluate.transfer.memory import peak_extra_bytes, resident_bytes
from greenbench.evaluate.transfer.operations import StepFlops
from greenbench.evaluate.transfer.tasks import Crops
from greenbench.evaluate.transfer.text import CharactersTask
from greenbench.models.base import Upstream
from greenbench.models.controls import LogMel
from tests.evaluate.conftest import TinyTrunk, ToyCorpus

Table = dict[str, dict[str, Any]]


def transfer(
    model: Upstream,
    toy: ToyCorpus,
    *,
    strategies: tuple[str, ...] = tuple(STRATEGIES),
    budget: BudgetSection | None = None,
    tasks: tuple[str, ...] = ("phones",),
    **keywords: Any,
) -> tuple[Table, Evaluation]:
    settings = EvaluateSection(
        tasks=("effective_rank",),
        transfer=strategies,
        transfer_tasks=tasks,
        transfer_budget=budget or BudgetSection(steps=25),
    )
    result = evaluate(model, toy, toy.stores, toy.featurize, settings, seed=0, **keywords)
    return {r["strategy"]: r for r in result.tasks["transfer"]["results"] if r["task"] == tasks[0]}, result


@pytest.fixture(scope="module")
def table(toy: ToyCorpus) -> Table:
    pytest.importorskip("peft")
    torch.manual_seed(0)
    model = TinyTrunk(width=64, depth=6)
    before = copy.deepcopy(model.state_dict())
    rows, _ = transfer(model, toy)
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items()), "the model itself was changed"
    return rows


def test_every_strategy_learns_the_task(table: Table) -> None:
    assert set(table) == set(STRATEGIES)
    for row in table.values():
        assert row["error_pct"] < 60
        assert row["steps"] == 25
        assert row["duration_s"] > 0
        assert row["energy_j"] is None


def test_each_strategy_trains_what_it_says(table: Table) -> None:
    total = sum(p.numel() for p in TinyTrunk(width=64, depth=6).parameters())
    trained = {name: row["trained_params"] for name, row in table.items()}
    assert trained["frozen"] == 0
    assert trained["full"] == total
    assert trained["full-frozen-front-end"] == total - (160 * 64 + 64)
    assert trained["bitfit"] == 64 + 6 * (256 + 64)
    assert trained["lora"] == 6 * 2 * 4 * (64 + 256)
    assert 0 < trained["read"] < trained["full"] / 5
    assert 0 < trained["adapters"] < trained["full"] / 5


def test_read_and_lora_need_less_memory_than_full(table: Table) -> None:
    full = table["full"]["peak_memory_bytes"]
    assert table["read"]["peak_memory_bytes"] < 0.75 * full
    assert table["lora"]["peak_memory_bytes"] < full
    assert table["read"]["step_memory_bytes"] < table["lora"]["step_memory_bytes"]
    assert table["read"]["memory_factor"] == pytest.approx(full / table["read"]["peak_memory_bytes"], abs=0.01)


def test_the_same_seed_and_steps_give_the_same_error(toy: ToyCorpus, trunk: TinyTrunk) -> None:
    every = tuple(STRATEGIES) if find_spec("peft") else tuple(name for name in STRATEGIES if name != "lora")
    first, _ = transfer(trunk, toy, strategies=every)
    second, _ = transfer(trunk, toy, strategies=every)
    assert len(first) == len(every)
    assert [r["error_pct"] for r in first.values()] == [r["error_pct"] for r in second.values()]


def test_no_gradient_flows_through_the_backbone_of_read_and_frozen(toy: ToyCorpus, trunk: TinyTrunk) -> None:
    from greenbench.evaluate.representation import make_batch

    wave = torch.from_numpy(toy.stores["train"].waveform(0)[:12_800])[None]
    batch = make_batch(wave, trunk, toy.featurize)
    for name in ("frozen", "read"):
        adapted = STRATEGIES[name].prepare(trunk, batch)
        assert not any(state.requires_grad for state in adapted.states(batch)[:3])
        assert not any(p.requires_grad for p in adapted.model.parameters())


def test_strategies_start_where_the_frozen_model_stands(toy: ToyCorpus, trunk: TinyTrunk) -> None:
    from greenbench.evaluate.representation import make_batch

    wave = torch.from_numpy(toy.stores["train"].waveform(0)[:12_800])[None]
    batch = make_batch(wave, trunk, toy.featurize)
    with torch.no_grad():
        expected = trunk.hidden_states(batch)
        for name in ("full", "lora", "adapters", "bitfit"):
            pytest.importorskip("peft")
            for found, wanted in zip(STRATEGIES[name].prepare(trunk, batch).states(batch), expected, strict=True):
                assert torch.allclose(found, wanted, atol=1e-6)
        read = STRATEGIES["read"].prepare(trunk, batch).states(batch)
        assert torch.allclose(read[-1], expected[-1], atol=1e-6)


def test_a_meter_books_joules_and_a_budget_of_joules_ends_the_adaptation(toy: ToyCorpus, trunk: TinyTrunk) -> None:
    drawn = iter(range(1_000_000))
    rows, _ = transfer(
        trunk, toy, strategies=("full", "frozen"), budget=BudgetSection(joules=60.0), joules=lambda: float(next(drawn))
    )
    for row in rows.values():
        assert row["budget_kind"] == "joules"
        assert 30 < row["energy_j"] <= 70
        assert row["steps"] > 0


def test_a_budget_of_joules_without_a_meter_is_refused(toy: ToyCorpus, trunk: TinyTrunk) -> None:
    with pytest.raises(ConfigError, match="joules"):
        transfer(trunk, toy, strategies=("full",), budget=BudgetSection(joules=60.0))


def test_a_budget_of_flops_ends_the_adaptation_and_counts_forward_and_backward(
    toy: ToyCorpus, trunk: TinyTrunk
) -> None:
    rows, _ = transfer(trunk, toy, strategies=("full", "frozen", "bitfit"), budget=BudgetSection(flops=2e9))
    for row in rows.values():
        assert 0.9 * 2e9 < row["flops"] <= 2e9
        assert row["steps"] > 0
    # 2 FLOPs a weight and frame forward and 4 backward; the first map's input needs no gradient.
    first, blocks, head = 160 * 32, 2 * 2 * 32 * 128, 6 * 32
    audio_s = rows["full"]["audio_h"] * 3600
    by_hand = 50 * (4 * first + 6 * blocks + 6 * head) + feature_flops_per_audio_s(trunk)
    assert rows["full"]["flops"] == pytest.approx(audio_s * by_hand, rel=0.05)
    assert rows["bitfit"]["flops"] / rows["bitfit"]["steps"] < rows["full"]["flops"] / rows["full"]["steps"]


def test_without_peft_lora_is_refused_before_anything_is_trained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(ConfigError, match=r"'lora' needs peft; install it: pip install 'greenbench\[lora\]'"):
        check_settings(EvaluateSection(transfer=("frozen", "lora")))
    check_settings(EvaluateSection(transfer=("frozen", "full")))


@pytest.mark.slow
def test_every_strategy_learns_text_from_a_folder_without_alignments(toy: ToyCorpus) -> None:
    pytest.importorskip("peft")
    bare = replace(toy, splits={k: tuple(replace(u, phones=None) for u in v) for k, v in toy.splits.items()})
    torch.manual_seed(0)
    rows, result = transfer(TinyTrunk(width=32, depth=2), bare, tasks=("characters",), budget=BudgetSection(steps=250))
    assert set(rows) == set(STRATEGIES)
    for name, row in rows.items():
        assert row["metric"] == "characters_cer_pct"
        assert row["error_pct"] < 60, name
        assert row["details"]["cer_macro_pct"] > 0
        assert row["flops"] > 0
    assert not result.left_out


def test_phones_give_way_to_text_where_there_are_no_alignments(toy: ToyCorpus, trunk: TinyTrunk) -> None:
    bare = replace(toy, splits={k: tuple(replace(u, phones=None) for u in v) for k, v in toy.splits.items()})
    _, result = transfer(trunk, bare, strategies=("frozen", "full"), budget=BudgetSection(steps=3))
    assert [r["task"] for r in result.tasks["transfer"]["results"]] == ["characters", "characters"]
    assert "adapted instead to: characters" in result.left_out["transfer to phones"]


def test_the_loss_of_text_does_not_see_the_silence_behind_shorter_utterances(toy: ToyCorpus, trunk: TinyTrunk) -> None:
    context = Context(
        trunk,
        Side(toy.split("train"), toy.stores["train"]),
        Side(toy.split("test"), toy.stores["test"]),
        toy.featurize,
        0,
        torch.device("cpu"),
        600.0,
        600.0,
    )
    task = CharactersTask(context)
    assert sorted(p for group in task.groups for p in group.positions) == list(range(len(task.audio)))
    for group in task.groups:
        assert group.audio_s <= 16.0
        assert {len(task.audio[p]) for p in group.positions} == {group.num_samples}
    group = task.groups[0]
    logits = torch.randn(len(group.positions), group.num_samples // 640, task.classes)
    expected = task.loss(logits, group)
    for row, position in enumerate(group.positions):
        logits[row, task.steps[position] :] = 50.0 * torch.randn(task.classes)
    assert torch.equal(task.loss(logits, group), expected)


def test_flops_of_lengths_in_between_lie_on_the_parabola_of_three() -> None:
    weights = torch.randn(8, 8)

    def attention(crops: Crops) -> None:
        rows = torch.randn(len(crops.positions), crops.num_samples, 8) @ weights
        rows @ rows.transpose(1, 2)

    def crops(count: int, length: int) -> Crops:
        return Crops(np.arange(count), np.zeros(count, dtype=np.int64), length)

    flops = StepFlops.count([crops(n, length) for n, length in ((4, 10), (3, 20), (2, 30), (1, 50))], attention)
    for count, length in ((4, 10), (3, 20), (5, 30), (1, 50)):
        assert flops(crops(count, length)) == pytest.approx(count * (2 * length * 64 + 2 * length**2 * 8))


def test_clip_tasks_transfer_too(toy: ToyCorpus, trunk: TinyTrunk) -> None:
    rows, _ = transfer(trunk, toy, strategies=("full", "frozen"), tasks=("keywords",), budget=BudgetSection(steps=40))
    assert rows["full"]["error_pct"] <= 34
    assert rows["full"]["metric"] == "keywords_error_pct"


def test_a_model_without_layers_leaves_strategies_out_with_their_reason(toy: ToyCorpus) -> None:
    rows, result = transfer(LogMel(), toy, strategies=("frozen", "full", "adapters"), budget=BudgetSection(steps=5))
    assert set(rows) == {"frozen"}
    assert "trunk_layers" in result.left_out["transfer by adapters"]
    assert "parameters" in result.left_out["transfer by full"]


def test_peak_memory_is_what_a_step_holds_at_once() -> None:
    def step() -> None:
        first = torch.zeros(250_000)
        second = torch.zeros(500_000)
        del first, second
        torch.zeros(600_000)

    assert peak_extra_bytes(step, torch.device("cpu")) == pytest.approx(3_000_000, rel=0.01)


def test_a_training_step_needs_more_than_its_forward_pass() -> None:
    model = nn.Sequential(*[nn.Linear(256, 256) for _ in range(8)])
    rows = torch.randn(512, 256)
    device = torch.device("cpu")

    def forward() -> None:
        with torch.no_grad():
            model(rows)

    forward_bytes = peak_extra_bytes(forward, device)
    step_bytes = peak_extra_bytes(lambda: model(rows).sum().backward(), device)
    activations, gradients = 8 * rows.numel() * 4, resident_bytes([model])
    assert forward_bytes < 3 * rows.numel() * 4
    assert activations <= step_bytes <= activations + gradients + 3 * rows.numel() * 4
