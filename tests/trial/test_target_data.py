"""Target makers get labels of the training split alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import soundfile

from greenbench.corpora.corpus import Corpus
from greenbench.corpora.utterance import Utterance
from greenbench.features.waveforms import prepare_waveforms
from greenbench.trial.target_data import TargetData


def test_phones_of_a_test_utterance_are_never_given(tmp_path: Path) -> None:
    """Also where the same audio is pretrained on, as a corpus of one's own may have it."""
    path = tmp_path / "a.wav"
    soundfile.write(path, np.zeros(16_000, np.float32), 16_000)
    known = Utterance("known", str(path), 0, 16_000, split="train", phones=(("b", 0.0, 0.5), ("a", 0.5, 1.0)))
    scored = replace(known, id="scored", split="test")
    bare = replace(known, id="bare", phones=None)
    corpus = Corpus("c", "c", {"pretrain": (known, scored, bare), "train": (known, bare), "test": (scored,)})
    store = prepare_waveforms(corpus, workers=1)["pretrain"]
    data = TargetData(store, None, store.num_samples, corpus)
    assert data.phone_labels(0, 50).tolist() == [2] * 25 + [1] * 25  # 0 is silence, then a, b
    for index in (1, 2):
        assert set(data.phone_labels(index, 50).tolist()) == {-1}
