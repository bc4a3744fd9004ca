"""The memory of a step by its crops: a line through counts that other counts and a real card's figures lie on."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenbench.cards import resolve
from greenbench.cost.measure import count_training
from greenbench.cost.step_memory import KEPT_FREE, StepMemory, step_memory
from greenbench.models.registry import build
from greenbench.units import SAMPLE_RATE
from tests.tones import REPOSITORY


@pytest.mark.parametrize("name", ["eco", "melhubert"])
def test_the_line_meets_what_is_counted_for_other_batches(name: str) -> None:
    spec = resolve(name, "tiny")
    memory, model = step_memory(spec, crop_seconds=4.0), build(spec)
    assert memory is not None
    for crops in (3, 20):
        counted = memory.state_bytes + count_training(model, crops, 4 * SAMPLE_RATE).peak_bytes
        assert memory.counted_bytes(crops) == pytest.approx(counted, rel=0.03)


@pytest.mark.parametrize("name", ["eco", "melhubert", "hubert"])
def test_a_card_took_no_less_than_the_least_estimate_and_not_much_more_than_the_count(name: str) -> None:
    measured = json.loads((REPOSITORY / "reports/gpu-h100/results.json").read_text())["speed"]
    memory = step_memory(resolve(name, "base"), crop_seconds=10.0)
    assert memory is not None
    for dtype in ("float32", "bfloat16"):
        row = measured[f"{name} {dtype}"]
        taken, crops = row["peak_memory_bytes"], round(row["batch_audio_s"] / row["crop_s"])
        assert memory.least_bytes(crops, dtype) < taken < 1.05 * memory.counted_bytes(crops)


def test_a_control_that_does_not_train_has_no_step() -> None:
    assert step_memory(resolve("logmel", "tiny"), crop_seconds=4.0) is None


@given(
    state=st.integers(0, 10**10),
    rest=st.floats(-1e8, 1e8),
    crop=st.floats(1e5, 1e10),
    room=st.floats(0, 1e12),
    scale=st.floats(1, 10),
)
def test_as_many_crops_as_fit_fit_and_one_more_does_not(
    state: int, rest: float, crop: float, room: float, scale: float
) -> None:
    memory = StepMemory(state, rest, crop)
    crops, usable = memory.crops_within(room, scale=scale), (1 - KEPT_FREE) * room
    assert crops >= 0
    if crops:
        assert scale * memory.counted_bytes(crops) <= usable * (1 + 1e-9) + 1
    assert scale * memory.counted_bytes(crops + 1) >= usable * (1 - 1e-9) - 1
