"""BEST-RQ: masked prediction of the labels of a random-projection quantizer (arXiv 2202.01855).

Nothing is learned to make targets: a frozen random matrix projects stacked log-mel frames, and the nearest of frozen
random codewords is the label. The Conformer is the one of ``transformers``, at 25 Hz.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import Wav2Vec2ConformerConfig
from transformers.models.wav2vec2_conformer.modeling_wav2vec2_conformer import Wav2Vec2ConformerEncoder

from greenbench.features.spec import LOGMEL_80
from greenbench.models.base import Batch, PretrainData, StepInfo, Upstream
from greenbench.models.capture import layer_outputs
from greenbench.models.frames import stack_frames
from greenbench.models.macs import conformer_macs
from greenbench.models.masking import WeightedMasking, masked_cross_entropy
from greenbench.models.reading import MelInputs, MelReading

STACK = 4
"""Log-mel frames of 10 ms to a frame of the encoder."""


@dataclass(frozen=True)
class ConformerShape:
    """Conformer layers with a depthwise convolution of ``depthwise_kernel`` frames."""

    layers: int = 12
    width: int = 576
    heads: int = 8
    feed_forward: int = 2048
    depthwise_kernel: int = 31
    dropout: float = 0.1

    def config(self) -> Wav2Vec2ConformerConfig:
        """Build the configuration of ``transformers``, with rotary positions."""
        options: dict[str, Any] = {"attn_implementation": "eager"}
        return Wav2Vec2ConformerConfig(
            hidden_size=self.width,
            num_hidden_layers=self.layers,
            num_attention_heads=self.heads,
            intermediate_size=self.feed_forward,
            conv_depthwise_kernel_size=self.depthwise_kernel,
            position_embeddings_type="rotary",
            hidden_act="swish",
            hidden_dropout=self.dropout,
            attention_dropout=self.dropout,
            activation_dropout=self.dropout,
            conformer_conv_dropout=self.dropout,
            layerdrop=0.0,
            rotary_embedding_base=10_000,
            **options,
        )


@dataclass(frozen=True)
class RandomCodebooks:
    """``books`` of ``codewords`` random directions of ``codeword_width`` dimensions; the loss has a head for each."""

    codewords: int = 8192
    codeword_width: int = 16
    books: int = 1


ENCODER = ConformerShape()
QUANTIZER = RandomCodebooks()
MASKING = WeightedMasking(probability=0.5, span=10)
INPUTS = MelInputs()


class RandomProjectionQuantizer(nn.Module):
    """Labels of frames (B, T, F) -> (B, T, books) int64: nearest codeword by cosine after a random projection.

    Frames are normalised over time per crop first, as the method requires: else few codewords are used.
    """

    def __init__(self, width: int, codebooks: RandomCodebooks) -> None:
        super().__init__()
        books, codewords, codeword_width = codebooks.books, codebooks.codewords, codebooks.codeword_width
        projection = torch.empty(books, width, codeword_width)
        bound = (6 / (width + codeword_width)) ** 0.5
        self.projection: Tensor
        self.codewords: Tensor
        self.register_buffer("projection", projection.uniform_(-bound, bound))
        self.register_buffer("codewords", F.normalize(torch.randn(books, codewords, codeword_width), dim=-1))

    @torch.no_grad()
    def forward(self, frames: Tensor) -> Tensor:
        """Find the labels; the norm of a projected frame does not change which codeword is nearest."""
        frames = frames.float()
        frames = (frames - frames.mean(dim=1, keepdim=True)) / (frames.std(dim=1, keepdim=True) + 1e-5)
        projected = torch.einsum("btf,kfd->kbtd", frames, self.projection).flatten(1, 2)
        labels = (projected @ self.codewords.transpose(1, 2)).argmax(dim=-1)
        return labels.view(-1, *frames.shape[:2]).permute(1, 2, 0)


class BestRq(Upstream):
    """Masked prediction of random-projection labels at 25 Hz."""

    frame_hz = 25.0
    feature_spec = LOGMEL_80

    def __init__(
        self,
        *,
        encoder: ConformerShape = ENCODER,
        quantizer: RandomCodebooks = QUANTIZER,
        masking: WeightedMasking = MASKING,
        inputs: MelInputs = INPUTS,
    ) -> None:
        super().__init__()
        self.reading = MelReading(inputs, LOGMEL_80)
        bins, width = LOGMEL_80.n_mels, encoder.width
        self.front = nn.ModuleList(
            [nn.Conv1d(bins, width, 3, stride=2, padding=1), nn.Conv1d(width, width, 3, stride=2, padding=1)]
        )
        self.encoder = Wav2Vec2ConformerEncoder(encoder.config())
        # transformers builds a positional convolution that rotary positions leave unused.
        del self.encoder.pos_conv_embed
        self.heads = nn.ModuleList(nn.Linear(width, quantizer.codewords) for _ in range(quantizer.books))
        self.quantizer = RandomProjectionQuantizer(STACK * bins, quantizer)
        self.masking = masking

    def fit_reading(self, data: PretrainData, *, seed: int) -> None:
        """Fit what the input is normalised by; the labels are random projections of what is read."""
        self.reading.fit(data, seed=seed)

    def extra_flops(self) -> float:
        """Give the FLOPs of fitting the reading."""
        return self.reading.flops

    def _subsample(self, features: Tensor) -> Tensor:
        """Compute the encoder's input at 25 Hz, (B, T, F) -> (B, T // 4, D)."""
        hidden = features.transpose(1, 2)
        for conv in self.front:
            hidden = F.gelu(conv(hidden))
        return hidden.transpose(1, 2)

    def _whole(self, batch: Batch) -> Tensor:
        features = self.features_of(batch)
        return self.reading(features[:, : features.shape[1] // STACK * STACK])

    def loss(self, batch: Batch, info: StepInfo) -> tuple[Tensor, dict[str, float | Tensor]]:
        """Cross-entropy of the labels of masked frames; masked input is replaced by noise of deviation 0.1."""
        features = self._whole(batch)
        mask = self.masking.draw(len(features), features.shape[1] // STACK, info.draws)
        noise = 0.1 * torch.randn_like(features)
        hide = mask.repeat_interleave(STACK, dim=1).unsqueeze(-1)
        targets = self.quantizer(stack_frames(features, STACK))
        hidden = self.encoder(self._subsample(torch.where(hide, noise, features)))[0]
        found = [
            masked_cross_entropy(head, hidden, targets[..., k], mask, unmasked_weight=self.masking.unmasked_weight)
            for k, head in enumerate(self.heads)
        ]
        return torch.stack([loss for loss, _ in found]).mean(), {"accuracy": found[0][1]}

    def hidden_states(self, batch: Batch) -> list[Tensor]:
        """Compute the encoder's input and each layer's output."""
        frames = self._subsample(self._whole(batch))
        return layer_outputs(self.trunk_layers(), lambda: self.encoder(frames))

    def trunk_layers(self) -> list[nn.Module]:
        """List the Conformer layers."""
        return list(self.encoder.layers)

    def analytic_macs(self, num_samples: int) -> float:
        """Work out the MACs of the representation of one crop by formula."""
        config, frames = self.encoder.config, LOGMEL_80.num_frames(num_samples) // STACK
        width = config.hidden_size
        front = 2.0 * frames * LOGMEL_80.n_mels * 3 * width + float(frames) * width * 3 * width
        layer = conformer_macs(frames, width, config.intermediate_size, config.conv_depthwise_kernel_size)
        return self.reading.macs(STACK * frames) + front + config.num_hidden_layers * layer
