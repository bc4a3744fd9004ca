"""From timed phone labels to frame labels and back to phone sequences."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

SILENCE = "sil"
UNKNOWN = -1
Segment = tuple[str, float, float]


class Inventory:
    """The labels of the training split, silence first."""

    def __init__(self, labels: Iterable[str]) -> None:
        self.labels: tuple[str, ...] = (SILENCE, *sorted(set(labels) - {SILENCE}))
        self._index = {label: i for i, label in enumerate(self.labels)}

    def __len__(self) -> int:
        return len(self.labels)

    def index(self, label: str) -> int:
        """A label's number, :data:`UNKNOWN` for one that training never showed."""
        return self._index.get(label, UNKNOWN)

    def names(self, numbers: Iterable[int]) -> list[str]:
        """The labels of some numbers."""
        return [self.labels[i] for i in numbers]


def frame_labels(segments: Sequence[Segment], frames: int, inventory: Inventory, *, hz: float = 50.0) -> np.ndarray:
    """The label at each frame's centre, (frames,) int64; what no segment covers is silence."""
    labels = np.zeros(frames, dtype=np.int64)
    for label, start_s, end_s in segments:
        # Frame i's centre (i + 0.5) / hz lies in [start, end).
        first = int(np.ceil(start_s * hz - 0.5))
        last = int(np.ceil(end_s * hz - 0.5))
        labels[max(first, 0) : max(last, 0)] = inventory.index(label)
    return labels


def phone_sequence(segments: Sequence[Segment]) -> list[str]:
    """The phones that were said, silence left out."""
    return [label for label, _, _ in segments if label != SILENCE]


def collapse(path: np.ndarray, *, silence: int = 0) -> list[int]:
    """Join repeats of a frame path, then drop silence."""
    if len(path) == 0:
        return []
    kept = path[np.concatenate([[True], path[1:] != path[:-1]])]
    return [int(p) for p in kept if p != silence]
