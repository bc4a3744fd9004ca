"""The pretraining split as target makers see it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from greenbench.corpora.corpus import Corpus
from greenbench.errors import DataError
from greenbench.evaluate.alignment import UNKNOWN, Inventory, frame_labels
from greenbench.features.spec import FeatureSpec
from greenbench.features.store import FeatureStore
from greenbench.features.waveforms import WaveformStore
from greenbench.trial.features import Features


@dataclass
class TargetData:
    """Waveforms, features and, for the topline alone, phones of the utterances that a model learns from."""

    store: WaveformStore
    features_store: Features | None
    num_samples: np.ndarray
    corpus: Corpus

    def waveform(self, index: int) -> np.ndarray:
        """One utterance's samples, by its place in the split."""
        return self.store.waveform(index)

    def features(self, index: int) -> np.ndarray:
        """One utterance's features (T, F)."""
        if self.features_store is None:
            raise DataError("this model asked for no features (feature_spec is None) but reads them in make_targets")
        return self.features_store.features(index)

    def all_features(self, spec: FeatureSpec) -> Callable[[int], np.ndarray]:
        """Compute other features of the whole split."""
        return FeatureStore.compute(self.store, spec).features

    @cached_property
    def _labelled(self) -> tuple[frozenset[str], Inventory]:
        """Labels of the training split alone: what is tested on must not be learnt, wherever its audio lies."""
        known = [u for u in self.corpus.split("train") if u.phones and u.task == "speech"]
        return frozenset(u.id for u in known), Inventory(label for u in known for label, _, _ in u.phones or ())

    def phone_labels(self, index: int, frames: int) -> np.ndarray:
        """Phone of each 20 ms frame, (frames,) int64; -1 throughout outside the labelled training split."""
        names, inventory = self._labelled
        utterance = self.store.utterances[index]
        if utterance.id not in names:
            return np.full(frames, UNKNOWN, dtype=np.int64)
        return frame_labels(utterance.phones or (), frames, inventory)
