"""The linear probe: a softmax-weighted sum of frozen layers and softmax regression, trained to convergence.

As in SUPERB the layer weights start equal and only they and one linear layer are trained. Two choices differ, so that
a probe of seconds is neither undertrained nor dependent on a learning rate: every layer is standardised per dimension
with the training rows' mean and deviation (an affine map, so nothing is lost and layers of any scale mix well), and
once the layer weights are found they are fixed, which makes the rest convex: the linear layer is solved anew, far
enough that further epochs change nothing. Weight decay is chosen on held-out training rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

_CHUNK_ROWS = 8192


@dataclass(frozen=True)
class Schedule:
    """How the probe is trained: Adam with a cosine to 0, in epochs over the training rows."""

    learning_rate: float = 0.01
    batch: int = 1024
    layer_epochs: int = 6
    choosing_epochs: int = 8
    epochs: int = 16
    fewest_steps: int = 300
    weight_decays: tuple[float, ...] = (3e-4, 1e-3, 3e-3)


@dataclass
class Standardised:
    """Layers (L, N, D) float16 with the mean and deviation of the training rows, (L, D) each."""

    layers: np.ndarray
    mean: Tensor
    scale: Tensor

    @classmethod
    def fit(cls, layers: np.ndarray, rows: np.ndarray) -> Standardised:
        """Measure mean and deviation on some rows."""
        count, _, width = layers.shape
        total = np.zeros((count, width))
        square = np.zeros((count, width))
        for layer in range(count):
            for begin in range(0, len(rows), _CHUNK_ROWS):
                block = layers[layer, rows[begin : begin + _CHUNK_ROWS]].astype(np.float64)
                total[layer] += block.sum(axis=0)
                square[layer] += (block**2).sum(axis=0)
        mean = total / len(rows)
        deviation = np.sqrt(np.maximum(square / len(rows) - mean**2, 0.0))
        # A dead dimension must not be blown up to unit variance: it would be rounding noise.
        floor = 1e-3 * np.median(deviation, axis=1, keepdims=True) + 1e-6
        return cls(layers, torch.from_numpy(mean).float(), torch.from_numpy(1.0 / np.maximum(deviation, floor)).float())

    def with_layers(self, layers: np.ndarray) -> Standardised:
        """The same map over other rows (a test set)."""
        return Standardised(layers, self.mean, self.scale)

    def weighted(self, rows: np.ndarray, layer_logits: Tensor) -> Tensor:
        """The weighted sum of standardised layers, (len(rows), D); differentiable in the layer logits."""
        gain = layer_logits.softmax(0).unsqueeze(1) * self.scale
        if len(self.layers) == 1:
            block = torch.from_numpy(self.layers[0][rows])
            return (block.float() - self.mean[0]) * gain[0]
        total = -(gain * self.mean).sum(0)
        for layer in range(len(self.layers)):
            total = total + torch.from_numpy(self.layers[layer][rows]).float() * gain[layer]
        return total

    def all_weighted(self, layer_logits: Tensor) -> Tensor:
        """The weighted sum for every row, (N, D), without gradients."""
        with torch.no_grad():
            rows = np.arange(self.layers.shape[1])
            parts = [self.weighted(rows[i : i + _CHUNK_ROWS], layer_logits) for i in range(0, len(rows), _CHUNK_ROWS)]
            return torch.cat(parts)


@dataclass
class LinearProbe:
    """A trained probe: layer logits (L,), weight (C, D), bias (C,), and the weight decay that was chosen."""

    data: Standardised
    layer_logits: Tensor
    centre: Tensor
    spread: Tensor
    weight: Tensor
    bias: Tensor
    weight_decay: float

    @property
    def layer_weights(self) -> list[float]:
        """The softmaxed weight of each layer."""
        return [round(float(w), 4) for w in self.layer_logits.softmax(0)]

    def log_probabilities(self, layers: np.ndarray) -> np.ndarray:
        """Log P(class | row) for every row, (N, C) float32."""
        inputs = (self.data.with_layers(layers).all_weighted(self.layer_logits) - self.centre) * self.spread
        with torch.no_grad():
            return F.log_softmax(F.linear(inputs, self.weight, self.bias), dim=-1).numpy()


def fit_linear_probe(
    layers: np.ndarray,
    rows: np.ndarray,
    labels: np.ndarray,
    classes: int,
    *,
    held_out: np.ndarray,
    seed: int,
    schedule: Schedule | None = None,
) -> tuple[LinearProbe, LinearProbe]:
    """Train on ``rows`` of ``layers`` (L, N, D); ``labels`` (N,) covers all rows, -1 marks rows without a label.

    ``held_out`` (bool, (N,)) marks the rows that choose the weight decay. Returns the probe trained without them (for
    whatever else must be chosen on held-out rows) and the one trained on all rows.
    """
    schedule = schedule or Schedule()
    rows = rows[labels[rows] >= 0]
    data = Standardised.fit(layers, rows)
    fitting, choosing = rows[~held_out[rows]], rows[held_out[rows]]
    logits = _fit_layer_weights(data, fitting, labels, classes, seed=seed, schedule=schedule)
    inputs = data.all_weighted(logits)
    centre, deviation = inputs[rows].mean(0), inputs[rows].std(0)
    spread = 1.0 / deviation.clamp(min=float(deviation.median()) * 1e-3 + 1e-6)
    inputs.sub_(centre).mul_(spread)
    target = torch.from_numpy(labels)
    tried = _solve(inputs, target, fitting, classes, schedule.weight_decays, schedule.choosing_epochs, schedule, seed)
    losses = [_mean_loss(s, inputs[choosing], target[choosing]) if len(choosing) else 0.0 for s in tried]
    best = losses.index(min(losses))
    chosen, decay = tried[best], schedule.weight_decays[best]
    (final,) = _solve(inputs, target, rows, classes, (decay,), schedule.epochs, schedule, seed)
    first, second = (
        LinearProbe(data, logits, centre, spread, s[:, :-1].contiguous(), s[:, -1].contiguous(), decay)
        for s in (chosen, final)
    )
    return first, second


def _fit_layer_weights(
    data: Standardised, rows: np.ndarray, labels: np.ndarray, classes: int, *, seed: int, schedule: Schedule
) -> Tensor:
    """The layer logits found together with a provisional linear layer."""
    count, _, width = data.layers.shape
    logits = torch.zeros(count, requires_grad=True)
    if count == 1:
        return logits.detach()
    weight = torch.zeros(classes, width, requires_grad=True)
    bias = torch.zeros(classes, requires_grad=True)
    optimizer = torch.optim.Adam(
        [
            {"params": [logits], "lr": 5 * schedule.learning_rate},
            {"params": [weight, bias], "lr": schedule.learning_rate},
        ]
    )

    def step(chosen: np.ndarray) -> None:
        # Sorted rows make the gather from a large (possibly on-disk) array sequential.
        chosen = np.sort(chosen)
        inputs = data.weighted(chosen, logits)
        loss = F.cross_entropy(F.linear(inputs, weight, bias), torch.from_numpy(labels[chosen]))
        optimizer.zero_grad()
        loss.backward()

    _descend(optimizer, step, rows, schedule.layer_epochs, schedule, seed)
    return logits.detach()


def _solve(
    inputs: Tensor,
    labels: Tensor,
    rows: np.ndarray,
    classes: int,
    decays: Sequence[float],
    epochs: int,
    schedule: Schedule,
    seed: int,
) -> list[Tensor]:
    """Solve softmax regression with an L2 penalty on the weights, once per penalty; each (C, D + 1), the bias last.

    All penalties see the same batches, so one product serves them all. The gradient is written out: the softmax less
    the labels, times the inputs.
    """
    count, width = len(decays), inputs.shape[1]
    weight = torch.zeros(count, classes, width)
    bias = torch.zeros(count, classes)
    penalty = torch.tensor(decays).view(count, 1, 1)
    optimizer = torch.optim.Adam([weight, bias], lr=schedule.learning_rate)

    def step(chosen: np.ndarray) -> None:
        index = torch.from_numpy(chosen)
        batch = inputs.index_select(0, index)
        logits = torch.addmm(bias.flatten(), batch, weight.flatten(0, 1).T)
        error = logits.view(len(chosen), count, classes).softmax(-1)
        error.scatter_add_(
            2, labels[index].view(-1, 1, 1).expand(-1, count, 1), torch.full((len(chosen), count, 1), -1.0)
        )
        error /= len(chosen)
        weight.grad = torch.addcmul((error.flatten(1).T @ batch).view_as(weight), penalty, weight)
        bias.grad = error.sum(0)

    with torch.no_grad():
        _descend(optimizer, step, rows, epochs, schedule, seed)
    return [torch.cat([w, b.unsqueeze(1)], dim=1) for w, b in zip(weight, bias, strict=True)]


def _descend(
    optimizer: torch.optim.Optimizer,
    step: Callable[[np.ndarray], None],
    rows: np.ndarray,
    epochs: int,
    schedule: Schedule,
    seed: int,
) -> None:
    """Run ``epochs`` over ``rows`` in shuffled batches, the learning rate falling to 0 along a cosine."""
    generator = np.random.default_rng(seed)
    batch = min(schedule.batch, len(rows))
    per_epoch = len(rows) // batch
    steps = max(epochs * per_epoch, schedule.fewest_steps)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for number in range(steps):
        if number % per_epoch == 0:
            order = generator.permutation(rows)
        begin = number % per_epoch * batch
        step(order[begin : begin + batch])
        optimizer.step()
        cosine.step()


def _mean_loss(solution: Tensor, inputs: Tensor, labels: Tensor) -> float:
    with torch.no_grad():
        return float(F.cross_entropy(F.linear(inputs, solution[:, :-1], solution[:, -1]), labels))
