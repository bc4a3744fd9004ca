"""The plan of an epoch: which crops go together, as a pure function of the data, the seed and the epoch.

Utterances of about the same length share a batch and are cropped to the shortest among them, so a batch holds no
padding at all; what the crops leave away is reported instead. Every arm of a comparison that has the same data, seed
and batch size sees the same crops in the same order, and a resumed run continues at a position of two integers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from greenbench.batches.balance import balanced_epoch
from greenbench.errors import DataError
from greenbench.units import SAMPLE_RATE

ALIGNMENT = 320
"""Crops begin and end at multiples of so many samples (20 ms), whole frames of every front end."""

MIN_CROP_S = 0.1
_JITTER = 0.04


@dataclass(frozen=True)
class BatchPlan:
    """One batch: ``utterances`` (B,) and ``starts`` (B,) int64, all crops ``num_samples`` long."""

    utterances: np.ndarray
    starts: np.ndarray
    num_samples: int


@dataclass(frozen=True)
class EpochPlan:
    """All batches of one epoch. Build it with :meth:`make`."""

    utterances: np.ndarray = field(repr=False)
    starts: np.ndarray = field(repr=False)
    bounds: np.ndarray = field(repr=False)
    lengths: np.ndarray = field(repr=False)
    cropped_ratio: float
    """Share of the audio that no crop covers in this epoch."""
    dropped: int
    """Utterances shorter than a crop may be."""
    padding_ratio: float = 0.0
    """Share of the samples in the batches that lie beyond the end of their utterance."""

    @classmethod
    def make(
        cls,
        num_samples: np.ndarray,
        *,
        seed: int,
        epoch: int,
        fingerprint: str,
        batch_seconds: float = 32.0,
        crop_seconds: float = 8.0,
        crop_lengths: int = 0,
        languages: Sequence[str] | None = None,
        language_alpha: float = 1.0,
    ) -> EpochPlan:
        """Plan an epoch over utterances of ``num_samples`` (N,) samples at 16 kHz.

        With ``languages`` (N,) an epoch draws utterances so that a language with the share p of the audio gets a share
        in proportion to p ** ``language_alpha``; some then occur repeatedly.

        ``crop_lengths`` above 0: a crop is one of so many equal parts of ``crop_seconds`` long, or several, or all of
        them; what is shorter than one part is dropped.

        Raises :class:`DataError` if no utterance is long enough.
        """
        num_samples = np.asarray(num_samples, dtype=np.int64)
        random = _generator(seed, epoch, fingerprint)
        crop = max(int(crop_seconds * SAMPLE_RATE), ALIGNMENT)
        step, least, remedy = ALIGNMENT, int(MIN_CROP_S * SAMPLE_RATE), ""
        if crop_lengths:
            # The least length must be a whole number of frames, or its multiples would not be.
            step = least = crop // crop_lengths // ALIGNMENT * ALIGNMENT
            crop, remedy = step * crop_lengths, "; or lower train.crop_lengths"
        usable = np.flatnonzero(num_samples >= least)
        if not len(usable):
            raise DataError(
                f"no utterance of {len(num_samples)} is {least / SAMPLE_RATE:g} s or longer; "
                f"add longer recordings{remedy}"
            )
        lengths = np.minimum(num_samples[usable], crop) // step * step
        if languages is not None:
            drawn = balanced_epoch([languages[i] for i in usable.tolist()], lengths, language_alpha, random)
            usable, lengths = usable[drawn], lengths[drawn]
        order = _order(lengths, random)
        bounds, crops = _group(lengths[order], int(batch_seconds * SAMPLE_RATE))
        batches = random.permutation(len(crops))
        items = usable[order]
        cut_to = np.repeat(crops, np.diff(bounds))
        starts = _starts(num_samples[items], cut_to, random)
        covered = int(cut_to.sum())
        beyond = int(np.maximum(starts + cut_to - num_samples[items], 0).sum())
        return cls(
            *_select(items, starts, bounds, crops, batches),
            cropped_ratio=max(0.0, 1.0 - covered / max(int(num_samples[usable].sum()), 1)),
            dropped=len(num_samples) - len(usable),
            padding_ratio=beyond / max(covered, 1),
        )

    def __len__(self) -> int:
        return len(self.lengths)

    def batch(self, index: int) -> BatchPlan:
        """Batch ``index`` of the epoch."""
        if not 0 <= index < len(self):
            raise IndexError(f"batch {index} of {len(self)}")
        part = slice(int(self.bounds[index]), int(self.bounds[index + 1]))
        return BatchPlan(self.utterances[part], self.starts[part], int(self.lengths[index]))

    @property
    def audio_s(self) -> float:
        """The seconds of audio in the batches."""
        return float((np.diff(self.bounds) * self.lengths).sum()) / SAMPLE_RATE


def _generator(seed: int, epoch: int, fingerprint: str) -> np.random.Generator:
    digest = hashlib.sha256(f"{seed}/{epoch}/{fingerprint}".encode()).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest[:16], "big")))


def _order(lengths: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Sort by length, longest first, blurred so that every epoch has other neighbours."""
    blurred = lengths * (1.0 - _JITTER * random.random(len(lengths)))
    # Those cut to the full crop are equal: their blur alone would let shorter ones among them.
    longest = lengths == lengths.max()
    blurred[longest] = lengths.max() + random.random(int(longest.sum()))
    return np.argsort(-blurred, kind="stable")


def _group(lengths: np.ndarray, target: int) -> tuple[np.ndarray, np.ndarray]:
    """Cut the order into batches of about ``target`` samples; return bounds (K + 1,) and crop lengths (K,)."""
    bounds, crops = [0], []
    total = len(lengths)
    while bounds[-1] < total:
        begin = bounds[-1]
        # Lengths fall slowly, so the first one gives the size up to one or two; the last one decides.
        count = crops_of_a_batch(target, int(lengths[begin]))
        crop = int(lengths[begin : begin + count].min())
        count = crops_of_a_batch(target, crop)
        crop = int(lengths[begin : begin + count].min())
        bounds.append(min(begin + count, total))
        crops.append(crop)
    return np.array(bounds, dtype=np.int64), np.array(crops, dtype=np.int64)


def crops_of_a_batch(target: int, crop: int) -> int:
    """How many crops of ``crop`` samples a batch of about ``target`` samples has, where an epoch still has so many."""
    return max(1, round(target / crop))


def _starts(num_samples: np.ndarray, crops: np.ndarray, random: np.random.Generator) -> np.ndarray:
    places = (num_samples - crops) // ALIGNMENT + 1
    starts: np.ndarray = (random.random(len(crops)) * places).astype(np.int64) * ALIGNMENT
    return starts


def _select(
    items: np.ndarray, starts: np.ndarray, bounds: np.ndarray, crops: np.ndarray, batches: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Bring the chosen batches into their order, without a loop over utterances."""
    sizes = np.diff(bounds)[batches]
    new_bounds = np.concatenate([[0], np.cumsum(sizes)])
    index = np.arange(new_bounds[-1]) + np.repeat(bounds[batches] - new_bounds[:-1], sizes)
    return items[index], starts[index], new_bounds, crops[batches]
