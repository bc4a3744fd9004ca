"""Units of a model's own hidden states: the targets of a second stage, made in batches of crops of equal length.

Every utterance passes through the model once. Those that k-means is fitted on go first, so that their features are at
hand when the units are known.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from greenbench.batches.batch import Batch
from greenbench.batches.plan import MIN_CROP_S, BatchPlan
from greenbench.models.base import PretrainData, Upstream
from greenbench.models.kmeans import UnitLabels, fit_units, sample_utterances
from greenbench.progress import Progress
from greenbench.units import SAMPLE_RATE

ALIGNMENT = 640
"""Pieces begin and end at whole frames of 25 Hz, the coarsest trunk that gives 50 Hz here."""

LONGEST_PIECE_S = 16.0
BATCH_S = 48.0
_SPREAD = 0.02
"""A batch is cut to its shortest piece; so much of a longer one at most takes over the label before it."""


@dataclass(frozen=True)
class Relabelling:
    """When a model's targets are made anew, and how.

    ``at`` are fractions of the budget in rising order, none by default; ``units`` is the number of clusters (0: as many
    as before), ``layer`` the encoder layer that is clustered (0: the middle one), ``fit_seconds`` the audio for
    k-means.
    """

    at: tuple[float, ...] = ()
    units: int = 0
    layer: int = 0
    fit_seconds: float = 1200.0

    def __post_init__(self) -> None:
        if not all(a < b for a, b in pairwise((0.0, *self.at, 1.0))):
            raise ValueError(f"at = {list(self.at)} must rise and lie between 0 and 1")

    @property
    def starts_afresh(self) -> bool:
        """Whether each stage begins with fresh weights, optimizer and schedule."""
        return False


@dataclass(frozen=True)
class FreshRelabelling(Relabelling):
    """Stages that begin with fresh weights, optimizer and schedule, unless ``restart`` is off."""

    restart: bool = True

    @property
    def starts_afresh(self) -> bool:
        """Whether there are later stages and they begin afresh."""
        return self.restart and bool(self.at)


def plan_pieces(num_samples: np.ndarray, utterances: np.ndarray) -> list[BatchPlan]:
    """Batches that cover the utterances given, each once; the shortest (< 0.1 s) are left out.

    Longer ones are cut into equal pieces. What a piece loses to alignment and to the batch's shortest is at its end.
    """
    utterances = utterances[num_samples[utterances] >= int(MIN_CROP_S * SAMPLE_RATE)]
    counts = -(-num_samples[utterances] // int(LONGEST_PIECE_S * SAMPLE_RATE))
    lengths = num_samples[utterances] // counts // ALIGNMENT * ALIGNMENT
    number = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    owners, lengths = np.repeat(utterances, counts), np.repeat(lengths, counts)
    order = np.argsort(-lengths, kind="stable")
    batches, begin = [], 0
    while begin < len(order):
        longest = int(lengths[order[begin]])
        alike = int(np.searchsorted(-lengths[order], -(1 - _SPREAD) * longest, side="right"))
        end = min(alike, begin + max(1, int(BATCH_S * SAMPLE_RATE) // longest))
        chosen = order[begin:end]
        batches.append(BatchPlan(owners[chosen], number[chosen] * lengths[chosen], int(lengths[chosen[-1]])))
        begin = end
    return batches


def read_batch(data: PretrainData, model: Upstream, plan: BatchPlan, device: torch.device) -> Batch:
    """Read the crops of a plan as the model asks for them."""
    spec = model.feature_spec
    hop = 1 if spec is None else spec.hop_samples * spec.stack
    frames = plan.num_samples // hop
    read = data.waveform if spec is None else data.features
    rows = [
        np.asarray(read(int(u))[s // hop : s // hop + frames], dtype=np.float32)
        for u, s in zip(plan.utterances, plan.starts, strict=True)
    ]
    values = torch.from_numpy(np.stack(rows)).to(device)
    return Batch(
        values if spec is None else None,
        None if spec is None else values,
        plan.num_samples,
        plan.utterances,
        plan.starts,
    )


def relabel(
    model: Upstream,
    data: PretrainData,
    *,
    k: int,
    fit_seconds: float,
    hop_samples: int,
    seed: int,
    device: torch.device,
    progress: Progress,
    flops_of_pass: Callable[[int, int], float],
) -> tuple[UnitLabels, float]:
    """Cluster ``model.target_features`` fitted on ``fit_seconds`` of random utterances; label all of them.

    Returns labels at ``hop_samples`` and the FLOPs of passes, fit and assignment. ``flops_of_pass(batch, num_samples)``
    says what the features of a batch cost. A frame that no piece covers takes the label before it.
    """
    lengths = np.asarray(data.num_samples)
    offsets = np.concatenate([[0], np.cumsum(np.maximum(1, lengths // hop_samples))])
    labels = np.full(offsets[-1], -1, dtype=np.int64)
    chosen = sample_utterances(lengths, fit_seconds, seed=seed)
    first = plan_pieces(lengths, chosen)
    rest = plan_pieces(lengths, np.setdiff1d(np.arange(len(lengths)), chosen))
    done, flops = 0, 0.0

    def features(plans: list[BatchPlan]) -> Iterator[Tensor]:
        nonlocal done, flops
        for plan in plans:
            progress("own features", done / (len(first) + len(rest)))
            yield model.target_features(read_batch(data, model, plan, device)).float()
            flops += flops_of_pass(len(plan.utterances), plan.num_samples)
            done += 1

    def place(plan: BatchPlan, found: np.ndarray) -> None:
        begins = offsets[plan.utterances] + plan.starts // hop_samples
        for begin, end, row in zip(begins, offsets[plan.utterances + 1], found, strict=True):
            labels[begin : begin + len(row)] = row[: end - begin]

    sample = [block.cpu() for block in features(first)]
    progress("k-means on own features: fitting", 0.0)
    units = fit_units(torch.cat([block.flatten(0, 1) for block in sample]).numpy(), k, seed=seed)
    for plans, blocks in ((first, iter(sample)), (rest, features(rest))):
        for plan, block in zip(plans, blocks, strict=True):
            place(plan, units.assign(block.flatten(0, 1)).reshape(block.shape[:2]).cpu().numpy())
    labelled = int((labels >= 0).sum())
    labels[offsets[:-1]] = np.maximum(labels[offsets[:-1]], 0)
    filled = labels[np.maximum.accumulate(np.where(labels >= 0, np.arange(len(labels)), 0))]
    return UnitLabels(filled, offsets, hop_samples), flops + units.fit_flops + units.assign_flops(labelled)
