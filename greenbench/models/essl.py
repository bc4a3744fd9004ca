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

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import HubertConfig
from transformers.models.hubert.modeling_hubert import HubertEncoder

from greenbench.features.extract import extract
from greenbench.features.spec import FeatureSpec
from greenbench.models.attention import use_attend
from greenbench.models.base import Batch, StepInfo, Upstream
from greenbench.models.capture import layer_outputs
from greenbench.models.contrastive import contrastive_loss, sample_negatives
from greenbench.models.ema import cosine_decay, follow, make_teacher
from greenbench.models.macs import attention_macs, feed_forward_macs, grouped_conv_macs

LOGMEL_128 = FeatureSpec(n_mels=128, window_ms=20.0, hop_ms=10.0, n_fft=320)
REDUCTION = 8
"""10 ms frames to a frame of the second stage."""


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

    def __init__(
        self,
        channels: Sequence[int],
        layers: Sequence[int],
        widths: Sequence[int],
        heads: Sequence[int],
        *,
        conv_pos_kernel: int,
        conv_pos_groups: int,
        dropout: float,
        layerdrop: float,
    ) -> None:
        super().__init__()

        def stack(stage: int) -> HubertEncoder:
            width = widths[stage]
            config = HubertConfig(
                hidden_size=width,
                num_hidden_layers=layers[stage],
                num_attention_heads=heads[stage],
                intermediate_size=4 * width,
                hidden_dropout=dropout,
                attention_dropout=dropout,
                activation_dropout=dropout,
                layerdrop=layerdrop,
                num_conv_pos_embeddings=conv_pos_kernel,
                num_conv_pos_embedding_groups=conv_pos_groups,
            )
            use_attend(config)
            return HubertEncoder(config)

        first, middle = channels
        self.front = nn.Sequential(
            _Conv(LOGMEL_128.n_mels, first, 5, 2), _Conv(first, widths[0], 5, 2), _Conv(widths[0], widths[0], 1)
        )
        self.lower = stack(0)
        self.reduce = nn.Sequential(_Conv(widths[0], middle, 5, 2), _Conv(middle, widths[1], 1))
        self.upper = stack(1)

    def forward(self, features: Tensor) -> Tensor:
        """Return the last layer's output."""
        return self.upper(self.reduce(self.lower(self.front(features))[0]))[0]


class Essl(Upstream):
    """In-utterance contrast with a moving-average teacher; states are given at 25 Hz."""

    frame_hz = 25.0

    def __init__(
        self,
        *,
        channels: Sequence[int] = (384, 1536),
        layers: Sequence[int] = (2, 10),
        widths: Sequence[int] = (512, 768),
        heads: Sequence[int] = (8, 12),
        projection: int = 256,
        conv_pos_kernel: int = 128,
        conv_pos_groups: int = 16,
        dropout: float = 0.1,
        layerdrop: float = 0.05,
        negatives: int = 100,
        temperature: float = 0.3,
        ema_start: float = 0.995,
        noise_prob: float = 0.5,
        snr_db: Sequence[float] = (0.0, 30.0),
        max_shift: int = 16,
    ) -> None:
        super().__init__()
        self.encoder = EsslEncoder(
            channels,
            layers,
            widths,
            heads,
            conv_pos_kernel=conv_pos_kernel,
            conv_pos_groups=conv_pos_groups,
            dropout=dropout,
            layerdrop=layerdrop,
        )
        self.project = nn.Linear(widths[1], projection)
        self.predict = nn.Sequential(
            _Conv(projection, projection, 5), _Conv(projection, projection, 5), nn.Linear(projection, projection)
        )
        self.teacher = make_teacher(nn.Sequential(self.encoder, self.project))
        self.negatives, self.temperature, self.ema_start = negatives, temperature, ema_start
        self.noise_prob, self.snr_db, self.max_shift = noise_prob, tuple(snr_db), max_shift

    def train(self, mode: bool = True) -> Essl:  # noqa: FBT001, FBT002 - torch's signature
        """Set the mode; the teacher stays without dropout."""
        super().train(mode)
        self.teacher.eval()
        return self

    @staticmethod
    def _features(waveform: Tensor) -> Tensor:
        """Return log-mel bands normalised per crop, (B, S) -> (B, T, 128)."""
        bands = extract(waveform, LOGMEL_128)
        return (bands - bands.mean(dim=1, keepdim=True)) / (bands.std(dim=1, keepdim=True) + 1e-2)

    def loss(self, batch: Batch, info: StepInfo) -> tuple[Tensor, dict[str, float | Tensor]]:
        """InfoNCE between the student's prediction and the teacher's projection of the same frame."""
        if batch.waveform is None:
            raise ValueError("Essl needs the waveform")
        noisy = add_noise(batch.waveform, info.generator, prob=self.noise_prob, snr_db=self.snr_db)
        heard = spec_augment(self._features(noisy), info.generator)
        predicted = self.predict(self.project(self.encoder(heard)))
        targets = self._teach(self._features(batch.waveform), info.generator)[:, : predicted.shape[1]]
        valid = torch.ones(predicted.shape[:2], dtype=torch.bool, device="cpu")
        negatives = sample_negatives(valid, self.negatives, info.generator)
        loss, won = contrastive_loss(predicted, targets, negatives, valid, temperature=self.temperature)
        return loss, {"accuracy": won}

    @torch.no_grad()
    def _teach(self, features: Tensor, generator: torch.Generator) -> Tensor:
        """Return the teacher's frames; it hears the crop later by a random number of whole frames of silence."""
        steps = self.max_shift // REDUCTION
        before = int(torch.randint(steps + 1, (1,), generator=generator))
        shifted = F.pad(features, (0, 0, before * REDUCTION, (steps - before) * REDUCTION))
        return self.teacher(shifted)[:, before:]

    def after_step(self, info: StepInfo) -> None:
        """Let the teacher follow."""
        student = nn.Sequential(self.encoder, self.project)
        follow(self.teacher, student, cosine_decay(info.fraction, self.ema_start))

    def hidden_states(self, batch: Batch) -> list[Tensor]:
        """Return both stages' inputs and layers at 25 Hz; frames of the second stage stand twice."""
        if batch.waveform is None:
            raise ValueError("Essl needs the waveform")
        features = self._features(batch.waveform)
        first: list[Tensor] = []

        def run() -> None:
            first.extend(layer_outputs(self.encoder.lower.layers, lambda: self.encoder(features)))

        upper = layer_outputs(self.encoder.upper.layers, run)
        return [*first, *(frames.repeat_interleave(2, dim=1)[:, : first[0].shape[1]] for frames in upper)]

    def trunk_layers(self) -> list[nn.Module]:
        """Return the layers of both stages."""
        return [*self.encoder.lower.layers, *self.encoder.upper.layers]

    def analytic_macs(self, num_samples: int) -> float:
        """Return MACs of the representation of one crop, features included, by formula."""
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
            total += grouped_conv_macs(frames + 1 - kernel % 2, width, kernel, groups)
            layer = attention_macs(frames, width) + feed_forward_macs(frames, width, config.intermediate_size)
            total += config.num_hidden_layers * layer
        spectrum = 2.5 * 320 * 8.32 / 2 + 161.0 * LOGMEL_128.n_mels
        return total + spectrum * LOGMEL_128.num_frames(num_samples)


def add_noise(waveform: Tensor, generator: torch.Generator, *, prob: float, snr_db: Sequence[float]) -> Tensor:
    """Add coloured noise or another crop of the batch at a random ratio with probability ``prob``, (B, S) -> (B, S).

    Colours lie between white and brown: power falls with frequency to the power 0 to 2.
    """
    rows, samples = waveform.shape
    draw = torch.rand(4, rows, 1, generator=generator)
    spectrum = torch.fft.rfft(torch.randn(rows, samples, generator=generator))
    frequency = torch.arange(1, spectrum.shape[-1] + 1)
    noise = torch.fft.irfft(spectrum * frequency ** -draw[0], n=samples).to(waveform.device)
    babble = (draw[1] < 0.5).to(waveform.device) & torch.tensor(rows > 1, device=waveform.device)
    noise = torch.where(babble, waveform.roll(1, 0), noise)
    ratio = 10 ** (-(snr_db[0] + (snr_db[1] - snr_db[0]) * draw[2]) / 20)
    level = (ratio * (draw[3] < prob)).to(waveform.device)
    energy = waveform.square().mean(-1, keepdim=True).sqrt() / (noise.square().mean(-1, keepdim=True).sqrt() + 1e-7)
    return waveform + level * energy * noise


def spec_augment(features: Tensor, generator: torch.Generator, *, width: int = 20) -> Tensor:
    """Fill random bands and stretches of time with noise: 2 % as many bands, 2.5 % as many stretches as there are."""
    rows, frames, bins = features.shape
    hidden = torch.zeros(rows, frames, bins, dtype=torch.bool, device="cpu")
    hidden |= _stripes(rows, bins, max(1, int(0.020 * bins)), width, generator).unsqueeze(1)
    hidden |= _stripes(rows, frames, max(1, int(0.025 * frames)), width, generator).unsqueeze(2)
    noise = torch.randn(features.shape, generator=generator)
    return torch.where(hidden.to(features.device), noise.to(features), features)


def _stripes(rows: int, length: int, count: int, width: int, generator: torch.Generator) -> Tensor:
    """Return (B, L) with ``count`` stripes of up to ``width`` places marked."""
    size = torch.rand(2, rows, count, 1, generator=generator)
    extent = (size[0] * (min(width, length) + 1)).long()
    begin = (size[1] * (length - extent + 1)).long()
    place = torch.arange(length)
    return ((place >= begin) & (place < begin + extent)).any(dim=1)
