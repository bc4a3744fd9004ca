"""The single-GPU predecessor of efficient speech learning (Lugo and Vielzeuf, Findings of EACL 2024).

Convolutions bring 128 log-mel bands to 25 Hz for two layers, then to 12.5 Hz for ten. A teacher that follows the
student hears the clean crop at a shifted position; the student hears it with noise and SpecAugment and must pick the
teacher's frame among distractors of the same crop. The parent method is SPIRAL (ICLR 2022).

Noise cannot be mixed into features that are already logarithms, so this model reads the waveform and computes its
features in the step; their cost is part of it. Where the authors mix recordings of the DNS challenge, coloured noise
and other crops of the batch stand in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers.models.hubert.modeling_hubert import HubertEncoder

from greenbench.features.extract import extract
from greenbench.features.spec import FeatureSpec
from greenbench.models.base import Batch, StepInfo, Upstream
from greenbench.models.capture import layer_outputs
from greenbench.models.contrastive import Contrast, contrastive_loss, sample_negatives
from greenbench.models.draws import Draws, Purpose
from greenbench.models.ema import cosine_decay, follow, make_teacher
from greenbench.models.encoders import TransformerShape
from greenbench.models.macs import attention_macs, feed_forward_macs, positions_macs

LOGMEL_128 = FeatureSpec(n_mels=128, window_ms=20.0, hop_ms=10.0, n_fft=320)
REDUCTION = 8
"""10 ms frames to a frame of the second stage."""


@dataclass(frozen=True)
class EsslShape:
    """Two stages: ``channels`` of the convolution that opens each, then its layers, their width and heads."""

    channels: tuple[int, ...] = (384, 1536)
    layers: tuple[int, ...] = (2, 10)
    widths: tuple[int, ...] = (512, 768)
    heads: tuple[int, ...] = (8, 12)
    conv_pos_kernel: int = 128
    conv_pos_groups: int = 16
    dropout: float = 0.1
    layerdrop: float = 0.05

    def __post_init__(self) -> None:
        for name in ("channels", "layers", "widths", "heads"):
            if len(getattr(self, name)) != 2:
                raise ValueError(f"{name} = {list(getattr(self, name))} must be two numbers, one a stage")

    def stack(self, stage: int) -> HubertEncoder:
        """Build the layers of a stage."""
        width = self.widths[stage]
        shape = TransformerShape(
            layers=self.layers[stage],
            width=width,
            heads=self.heads[stage],
            feed_forward=4 * width,
            conv_pos_kernel=self.conv_pos_kernel,
            conv_pos_groups=self.conv_pos_groups,
            dropout=self.dropout,
        )
        return HubertEncoder(shape.hubert_config(layerdrop=self.layerdrop))


@dataclass(frozen=True)
class ShiftedTeacher:
    """A moving average that keeps ``ema_start`` of itself in a step, rising to 1 over the budget along a cosine.

    It hears the crop up to ``max_shift`` frames of 10 ms later.
    """

    ema_start: float = 0.995
    max_shift: int = 16


@dataclass(frozen=True)
class AddedNoise:
    """With ``probability`` a crop gets noise at a ratio within ``snr_db`` (lowest, highest)."""

    probability: float = 0.5
    snr_db: tuple[float, ...] = (0.0, 30.0)


ENCODER = EsslShape()
CONTRAST = Contrast(temperature=0.3)
TEACHER = ShiftedTeacher()
NOISE = AddedNoise()


class _Conv(nn.Module):
    """Convolution over time, layer norm and GELU on (B, T, C)."""

    def __init__(self, channels_in: int, channels: int, kernel: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv1d(channels_in, channels, kernel, stride=stride, padding=kernel // 2)
        self.norm = nn.LayerNorm(channels)

    def forward(self, frames: Tensor) -> Tensor:
        return F.gelu(self.norm(self.conv(frames.transpose(1, 2)).transpose(1, 2)))


class EsslEncoder(nn.Module):
    """Two stages of convolutions and layers: log-mel (B, T, 128) at 100 Hz to (B, T / 8, D) at 12.5 Hz."""

    def __init__(self, shape: EsslShape) -> None:
        super().__init__()
        first, middle = shape.channels
        lower, upper = shape.widths
        self.front = nn.Sequential(
            _Conv(LOGMEL_128.n_mels, first, 5, 2), _Conv(first, lower, 5, 2), _Conv(lower, lower, 1)
        )
        self.lower = shape.stack(0)
        self.reduce = nn.Sequential(_Conv(lower, middle, 5, 2), _Conv(middle, upper, 1))
        self.upper = shape.stack(1)

    def forward(self, features: Tensor) -> Tensor:
        """Compute the last layer's output."""
        return self.upper(self.reduce(self.lower(self.front(features))[0]))[0]


class Essl(Upstream):
    """In-utterance contrast with a moving-average teacher; states are given at 25 Hz."""

    frame_hz = 25.0

    def __init__(
        self,
        *,
        encoder: EsslShape = ENCODER,
        contrast: Contrast = CONTRAST,
        teacher: ShiftedTeacher = TEACHER,
        noise: AddedNoise = NOISE,
    ) -> None:
        super().__init__()
        projection = contrast.projection
        self.encoder = EsslEncoder(encoder)
        self.project = nn.Linear(encoder.widths[1], projection)
        self.predict = nn.Sequential(
            _Conv(projection, projection, 5), _Conv(projection, projection, 5), nn.Linear(projection, projection)
        )
        self.teacher = make_teacher(nn.Sequential(self.encoder, self.project))
        self.contrast, self.teaching, self.noise = contrast, teacher, noise

    @staticmethod
    def _features(waveform: Tensor) -> Tensor:
        """Compute log-mel bands normalised per crop, (B, S) -> (B, T, 128)."""
        bands = extract(waveform, LOGMEL_128)
        return (bands - bands.mean(dim=1, keepdim=True)) / (bands.std(dim=1, keepdim=True) + 1e-2)

    def loss(self, batch: Batch, info: StepInfo) -> tuple[Tensor, dict[str, float | Tensor]]:
        """InfoNCE between the student's prediction and the teacher's projection of the same frame."""
        waveform = self.waveform_of(batch)
        noisy = add_noise(waveform, info.draws, prob=self.noise.probability, snr_db=self.noise.snr_db)
        heard = spec_augment(self._features(noisy), info.draws)
        predicted = self.predict(self.project(self.encoder(heard)))
        targets = self._teach(self._features(waveform), info.draws)[:, : predicted.shape[1]]
        valid = torch.ones(predicted.shape[:2], dtype=torch.bool, device=predicted.device)
        negatives = sample_negatives(valid, self.contrast.negatives, info.draws)
        loss, won = contrastive_loss(predicted, targets, negatives, valid, temperature=self.contrast.temperature)
        return loss, {"accuracy": won}

    @torch.no_grad()
    def _teach(self, features: Tensor, draws: Draws) -> Tensor:
        """Compute the teacher's frames; it hears the crop later by a random number of whole frames of silence."""
        self.teacher.eval()  # no dropout, whatever mode the student is in
        steps = self.teaching.max_shift // REDUCTION
        before = draws.below(Purpose.SHIFT, 1, 1, steps + 1)[0]
        silent = F.pad(features, (0, 0, steps * REDUCTION, steps * REDUCTION))
        first = (steps - before) * REDUCTION
        length = features.shape[1] + steps * REDUCTION
        heard = self.teacher(silent.index_select(1, first + torch.arange(length, device=features.device)))
        return heard.index_select(1, before + torch.arange(heard.shape[1] - steps, device=features.device))

    def after_step(self, info: StepInfo) -> None:
        """Let the teacher follow."""
        student = nn.Sequential(self.encoder, self.project)
        follow(self.teacher, student, cosine_decay(info.fraction, self.teaching.ema_start))

    def hidden_states(self, batch: Batch) -> list[Tensor]:
        """Compute both stages' inputs and layers at 25 Hz; frames of the second stage stand twice."""
        features = self._features(self.waveform_of(batch))
        first: list[Tensor] = []

        def run() -> None:
            first.extend(layer_outputs(self.encoder.lower.layers, lambda: self.encoder(features)))

        upper = layer_outputs(self.encoder.upper.layers, run)
        return [*first, *(frames.repeat_interleave(2, dim=1)[:, : first[0].shape[1]] for frames in upper)]

    def trunk_layers(self) -> list[nn.Module]:
        """List the layers of both stages."""
        return [*self.encoder.lower.layers, *self.encoder.upper.layers]

    def analytic_macs(self, num_samples: int) -> float:
        """Work out the MACs of the representation of one crop by formula, features included."""
        half = -(-LOGMEL_128.num_frames(num_samples) // 2)
        quarter = -(-half // 2)
        eighth = -(-quarter // 2)
        front, reduce = self.encoder.front, self.encoder.reduce
        total = sum(
            float(length) * block.conv.weight.numel()
            for block, length in zip((*front, *reduce), (half, quarter, quarter, eighth, eighth), strict=True)
        )
        for stack, frames in ((self.encoder.lower, quarter), (self.encoder.upper, eighth)):
            config, kernel = stack.config, stack.config.num_conv_pos_embeddings
            width, groups = config.hidden_size, config.num_conv_pos_embedding_groups
            total += positions_macs(frames, width, kernel, groups)
            layer = attention_macs(frames, width) + feed_forward_macs(frames, width, config.intermediate_size)
            total += config.num_hidden_layers * layer
        spectrum = 2.5 * 320 * 8.32 / 2 + 161.0 * LOGMEL_128.n_mels
        return total + spectrum * LOGMEL_128.num_frames(num_samples)


def add_noise(waveform: Tensor, draws: Draws, *, prob: float, snr_db: Sequence[float]) -> Tensor:
    """Add coloured noise or another crop of the batch at a random ratio with probability ``prob``, (B, S) -> (B, S).

    Colours lie between white and brown: power falls with frequency to the power 0 to 2.
    """
    rows, samples = waveform.shape
    draw = draws.uniform(Purpose.MIXTURE, rows, 4).t().unsqueeze(2)
    spectrum = torch.fft.rfft(torch.randn_like(waveform))
    frequency = torch.arange(1, spectrum.shape[-1] + 1, device=waveform.device)
    noise = torch.fft.irfft(spectrum * frequency ** -draw[0], n=samples)
    if rows > 1:
        noise = torch.where(draw[1] < 0.5, waveform.roll(1, 0), noise)
    ratio = 10 ** (-(snr_db[0] + (snr_db[1] - snr_db[0]) * draw[2]) / 20)
    level = ratio * (draw[3] < prob)
    energy = waveform.square().mean(-1, keepdim=True).sqrt() / (noise.square().mean(-1, keepdim=True).sqrt() + 1e-7)
    return waveform + level * energy * noise


def spec_augment(features: Tensor, draws: Draws, *, width: int = 20) -> Tensor:
    """Fill random bands and stretches of time with noise: 2 % as many bands, 2.5 % as many stretches as there are."""
    rows, frames, bins = features.shape
    in_frequency, in_time = max(1, int(0.020 * bins)), max(1, int(0.025 * frames))
    words = draws.words(Purpose.STRIPES, rows, 2 * (in_frequency + in_time))
    of_bands, of_frames = words.split([2 * in_frequency, 2 * in_time], dim=1)
    hidden = _stripes(of_bands, bins, width).unsqueeze(1) | _stripes(of_frames, frames, width).unsqueeze(2)
    return torch.where(hidden, torch.randn_like(features), features)


def _stripes(words: Tensor, length: int, width: int) -> Tensor:
    """Mark (B, L) in stripes of up to ``width`` places; two of ``words`` (B, 2 C) say how long one is and where."""
    sizes, places = words.unsqueeze(2).chunk(2, dim=1)
    extent = (sizes * (min(width, length) + 1)) >> 32
    begin = (places * (length - extent + 1)) >> 32
    place = torch.arange(length, device=words.device)
    return ((place >= begin) & (place < begin + extent)).any(dim=1)
