"""ABX error by ``fastabx`` (arXiv 2505.02692) on tokens that anybody can draw again, and the script that made it.

``python -m tests.reference.fastabx_figures`` prints the figures anew where ``fastabx`` is installed (Python 3.12 or
newer). ``FIGURES_PCT`` was printed by fastabx 0.9.0 with torchdtw 0.4.2 and torch 2.13.0 on the CPU, ON phone, BY
speaker, angular distance, averaged over speakers, then over ordered phone pairs.
"""

from __future__ import annotations

import numpy as np

FIGURES_PCT = {0: 29.166666, 1: 31.944444, 2: 50.231481, 3: 40.046296}
"""Seed of :func:`drawn_tokens` -> ABX error in percent."""


def drawn_tokens(seed: int) -> tuple[np.ndarray, list[tuple[str, str, int, int]]]:
    """Return frames (400, 8) float32 and tokens (phone, speaker, begin, end) of one to eight frames.

    Phones occur two or three times a speaker, and one speaker never says one of them.
    """
    rng = np.random.default_rng(seed)
    frames = rng.normal(size=(400, 8)).astype(np.float32)
    tokens, at = [], 0
    for speaker, phone in [(s, p) for s in "xyz" for p in "aabbbccdd" if (s, p) != ("y", "c")]:
        length = int(rng.integers(1, 9))
        frames[at : at + length] += 0.8 * np.eye(8, dtype=np.float32)["abcd".index(phone)]
        tokens.append((phone, speaker, at, at + length))
        at += length
    return frames, tokens


def fastabx_error_pct(frames: np.ndarray, tokens: list[tuple[str, str, int, int]]) -> float:
    """Return what ``fastabx`` says of the tokens."""
    import polars
    import torch
    from fastabx import Dataset, InMemoryAccessor, Score, Task

    labels = polars.DataFrame({"phone": [t[0] for t in tokens], "speaker": [t[1] for t in tokens]})
    places = {i: (begin, end) for i, (_, _, begin, end) in enumerate(tokens)}
    data = torch.from_numpy(frames[: tokens[-1][3]].copy())
    task = Task(Dataset(labels, InMemoryAccessor(places, data, torch.device("cpu"))), on="phone", by=["speaker"])
    return 100.0 * float(Score(task, "angular", progress=False).collapse(levels=["speaker"]))


if __name__ == "__main__":
    print({seed: round(fastabx_error_pct(*drawn_tokens(seed)), 6) for seed in FIGURES_PCT})
