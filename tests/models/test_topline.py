"""The topline learns phones from labels, from those of the training split alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from greenbench.cards import resolve
from greenbench.cost.subject import step_info
from greenbench.errors import DataError
from greenbench.features.spec import LOGMEL_80
from greenbench.models.base import Batch
from greenbench.models.registry import build
from greenbench.models.topline import Topline
from greenbench.units import SAMPLE_RATE

PHONES, FRAMES = 4, 100


class Labelled:
    """Utterances whose phones are plain to see: each has bands of its own."""

    def __init__(self, labelled: tuple[bool, ...] = (True, True, False)) -> None:
        random = np.random.default_rng(0)
        self.num_samples = np.full(len(labelled), 2 * SAMPLE_RATE)
        self.labels = [np.repeat(random.integers(PHONES, size=FRAMES // 5), 5) for _ in labelled]
        peaks = np.kron(np.eye(PHONES), np.ones(80 // PHONES)) * 3
        noise = 0.3 * random.standard_normal((len(labelled), 2 * FRAMES, 80))
        self.frames = (noise + np.stack([peaks[np.repeat(part, 2)] for part in self.labels])).astype(np.float16)
        self.labelled = labelled

    def waveform(self, index: int) -> np.ndarray:
        raise AssertionError("it reads features")

    def features(self, index: int) -> np.ndarray:
        return self.frames[index]

    def all_features(self, spec: object) -> object:
        raise AssertionError("it asks for no others")

    def phone_labels(self, index: int, frames: int) -> np.ndarray:
        return self.labels[index][:frames] if self.labelled[index] else np.full(frames, -1)


def topline(units: int = 8) -> Topline:
    torch.manual_seed(0)
    small = {
        "encoder": {"width": 16, "pattern": "c"},
        "targets": {"units": units, "fit_seconds": 10.0},
        "inputs": {"warp": 0.0},
    }
    model = build(resolve("topline", "tiny", small))
    assert isinstance(model, Topline)
    return model


def batch_of(data: Labelled, rows: list[int]) -> Batch:
    features = torch.from_numpy(data.frames[rows]).float()
    return Batch(None, features, 2 * SAMPLE_RATE, np.array(rows), np.zeros(len(rows), dtype=np.int64))


def ready(model: Topline, data: Any) -> Topline:
    model.make_targets(data, seed=0, device=torch.device("cpu"), progress=lambda *_: None)
    return model


def test_it_learns_the_phones() -> None:
    data = Labelled()
    model = ready(topline(), data)
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    info = step_info()
    for _ in range(60):
        loss, figures = model.loss(batch_of(data, [0, 1]), info)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert float(figures["accuracy"]) > 0.9


def test_fitting_its_reading_is_counted() -> None:
    assert ready(topline(), Labelled()).extra_flops() > 0


def test_utterances_without_labels_teach_nothing() -> None:
    data = Labelled()
    model = ready(topline(), data)
    loss, _ = model.loss(batch_of(data, [2]), step_info())
    loss.backward()
    assert float(loss.detach()) == 0.0
    assert model.predict.weight.grad is not None
    assert float(model.predict.weight.grad.abs().max()) == 0.0


def test_a_corpus_without_phones_is_refused() -> None:
    with pytest.raises(DataError, match="no utterance of the training split has phones"):
        ready(topline(), Labelled((False, False)))
    with pytest.raises(DataError, match="this data offers none"):
        ready(topline(), object())


def test_more_phones_than_units_are_refused() -> None:
    with pytest.raises(DataError, match=rf"units = 2 are fewer than the {PHONES} phones"):
        ready(topline(units=2), Labelled())


def test_its_network_is_that_of_eco() -> None:
    first, second = (build(resolve(name, "tiny")) for name in ("topline", "eco"))
    assert {n: p.shape for n, p in first.named_parameters()} == {n: p.shape for n, p in second.named_parameters()}
    assert first.feature_spec == second.feature_spec == LOGMEL_80
    for size in ("tiny", "small", "base"):
        assert resolve("topline", size).recipe == resolve("eco", size).recipe
