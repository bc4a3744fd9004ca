"""Write golden_features.json from the slow reference: ``python -m tests.features.make_golden`` (or as a file)."""

from __future__ import annotations

import json
from pathlib import Path

from tests.reference import kaldi_features as reference

if __name__ == "__main__":
    samples = reference.signal() * 32768
    golden = {
        "kaldi_fbank_40": reference.fbank(samples, n_mels=40, window="hamming"),
        "kaldi_mfcc_13": reference.mfcc(samples),
    }
    frames = (0, 1, 12, 13, 23, 24)
    table = {name: {str(t): [round(float(v), 4) for v in values[t]] for t in frames} for name, values in golden.items()}
    Path(__file__).with_name("golden_features.json").write_text(json.dumps(table, indent=1) + "\n")
