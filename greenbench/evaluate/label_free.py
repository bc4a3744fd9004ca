"""Scores that train no head: units' mutual information with phones (PNMI) and the effective rank of the embedding."""

from __future__ import annotations

import warnings

import numpy as np

from greenbench.evaluate.alignment import Inventory
from greenbench.evaluate.context import Context, TaskResult
from greenbench.evaluate.phones import AlignedSplit, aligned_inventory, aligned_splits

UNITS = 100
_FIT_FRAMES = 12_000
_RANK_FRAMES = 8_000


def pnmi(units: np.ndarray, phones: np.ndarray) -> float:
    """1 - H(phone | unit) / H(phone), in 0..1, of frame-wise units and phones (N,).

    Definition: Hsu et al. 2021, HuBERT, equation 12. It rises with the number of units.
    """
    table = np.zeros((int(units.max()) + 1, int(phones.max()) + 1))
    np.add.at(table, (units, phones), 1.0)
    joint = table / table.sum()
    marginal = joint.sum(axis=0)
    information = _entropy(joint.sum(axis=1)) + _entropy(marginal) - _entropy(joint.ravel())
    entropy = _entropy(marginal)
    return float(information / entropy) if entropy > 0 else 0.0


def effective_rank(embedding: np.ndarray) -> float:
    """The exponential of the entropy of the normalised singular values of (N, D), centred.

    Definition: Roy and Vetterli 2007; 1 where all rows lie on a line, D where all directions are alike.
    """
    centred = embedding.astype(np.float64) - embedding.mean(axis=0, dtype=np.float64)
    values = np.sqrt(np.maximum(np.linalg.eigvalsh(centred.T @ centred), 0.0))
    if values.sum() == 0:
        return 1.0
    return float(np.exp(_entropy(values / values.sum())))


def cluster_units(frames: np.ndarray, wanted: np.ndarray, *, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Fit k-means to some rows of ``frames`` (N, D) and return the units of those and of all ``wanted`` (M, D)."""
    from sklearn.cluster import MiniBatchKMeans

    mean, deviation = frames.mean(axis=0), frames.std(axis=0) + 1e-6
    points = (frames - mean) / deviation
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # fewer distinct points than units in tiny corpora
        model = MiniBatchKMeans(
            min(UNITS, len(points)), batch_size=2048, n_init=1, max_iter=40, random_state=seed, reassignment_ratio=0.01
        ).fit(points)
    return model.labels_, model.predict((wanted - mean) / deviation)


def layer_pnmi(train: AlignedSplit, test: AlignedSplit, *, seed: int) -> tuple[list[float], list[float]]:
    """The PNMI of each layer's units on training and on test frames; units are fitted on training frames."""
    known = np.flatnonzero(train.labels >= 0)
    step = max(1, len(known) // _FIT_FRAMES)
    fit = known[::step]
    heard = np.flatnonzero(test.labels >= 0)
    on_train, on_test = [], []
    for layer in range(train.frames.num_layers):
        points = train.frames.layers[layer, fit].astype(np.float32)
        units, found = cluster_units(points, test.frames.layers[layer, heard].astype(np.float32), seed=seed)
        on_train.append(pnmi(units, train.labels[fit]))
        on_test.append(pnmi(found, test.labels[heard]))
    return on_train, on_test


def pnmi_task(context: Context) -> TaskResult:
    """Score the units of the layer that is best on training frames, on test frames."""
    inventory = aligned_inventory(context)
    train, test = aligned_splits(context, inventory)
    on_train, on_test = layer_pnmi(train, test, seed=context.seed)
    best = int(np.argmax(on_train))
    details = {"units": UNITS, "layer": best, "by_layer": [round(v, 4) for v in on_test], "classes": len(inventory)}
    return TaskResult({"pnmi": on_test[best]}, details)


def best_layer(context: Context) -> tuple[int, Inventory, AlignedSplit]:
    """The layer with the highest PNMI on training frames, and the aligned test split."""
    inventory = aligned_inventory(context)
    train, test = aligned_splits(context, inventory)
    on_train, _ = layer_pnmi(train, test, seed=context.seed)
    return int(np.argmax(on_train)), inventory, test


def rank_task(context: Context) -> TaskResult:
    """Measure the effective rank of the last layer on test frames; all layers are in the details."""
    chosen = context.choose(context.test, lambda u: u.task == "speech") or context.choose(context.test, lambda _: True)
    frames = context.frames(context.test, chosen)
    step = max(1, frames.layers.shape[1] // _RANK_FRAMES)
    ranks = [effective_rank(frames.layers[layer, ::step].astype(np.float32)) for layer in range(frames.num_layers)]
    details = {"by_layer": [round(r, 2) for r in ranks], "width": frames.width, "layer": frames.num_layers - 1}
    return TaskResult({"effective_rank": ranks[-1]}, details)


def _entropy(probabilities: np.ndarray) -> float:
    positive = probabilities[probabilities > 0]
    return float(-(positive * np.log(positive)).sum())
