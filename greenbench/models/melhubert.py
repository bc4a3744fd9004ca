"""MelHuBERT: a HuBERT that reads log-mel frames, trained as published (arXiv 2211.09944).

Recipe: 40-dim Kaldi filter bank, two 10 ms frames concatenated; k-means units of the same frames as targets; masked
input frames set to zero before the projection; plain cross-entropy on masked frames only; no front-end network. The
encoder is the one of ``transformers``' HuBERT. With ``relabelling.at`` a second model, fresh,
predicts units of the first one's hidden states.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from transformers.models.hubert.modeling_hubert import HubertEncoder

from greenbench.features.spec import KALDI_FBANK_40
from greenbench.models.base import Batch, PretrainData, StepInfo
from greenbench.models.capture import layer_outputs, only_layers
from greenbench.models.encoders import TransformerShape
from greenbench.models.frames import stack_frames
from greenbench.models.macs import attention_macs, feed_forward_macs, positions_macs
from greenbench.models.masking import WeightedMasking, masked_cross_entropy
from greenbench.models.mixers import Mixing, replace_attention
from greenbench.models.reading import MelInputs, MelReading
from greenbench.models.relabel import FreshRelabelling
from greenbench.models.unit_model import UnitModel, UnitTargets
from greenbench.models.visible import VisibleOnly, equal_counts


@dataclass(frozen=True)
class MelMasking(WeightedMasking):
    """With ``drop_masked`` (not in the publication) the encoder's layers see the visible frames only."""

    drop_masked: bool = False


ENCODER = TransformerShape()
TARGETS = UnitTargets(units=512)
MASKING = MelMasking(probability=0.7, span=5)
RELABELLING = FreshRelabelling()
MIXING = Mixing()
INPUTS = MelInputs()


class MelHubert(UnitModel):
    """Masked prediction of k-means units of log-mel frames at 50 Hz.

    ``inputs`` says how frames are normalised, those that units are made of too; published are plain ones.
    """

    frame_hz = 50.0
    feature_spec = KALDI_FBANK_40

    def __init__(
        self,
        *,
        encoder: TransformerShape = ENCODER,
        targets: UnitTargets = TARGETS,
        masking: MelMasking = MASKING,
        relabelling: FreshRelabelling = RELABELLING,
        mixing: Mixing = MIXING,
        inputs: MelInputs = INPUTS,
    ) -> None:
        super().__init__(targets, relabelling, depth=encoder.layers)
        width = encoder.width
        self.masking = masking
        self.one_graph = not masking.drop_masked
        self.reading = MelReading(inputs, KALDI_FBANK_40)
        self.project = nn.Linear(2 * KALDI_FBANK_40.n_mels, width)
        self.encoder = HubertEncoder(encoder.hubert_config())
        self.predict = nn.Linear(width, targets.units)
        self.visible = VisibleOnly(width, heads=encoder.heads) if masking.drop_masked else None
        self.dropout = nn.Dropout(encoder.dropout)
        self.predict_later = nn.ModuleList(nn.Linear(width, self.later_units) for _ in self.relabel_at)
        self.mixers = replace_attention(self.encoder.layers, mixing, width)

    def fit_reading(self, data: PretrainData, *, seed: int) -> None:
        """Fit what the input is normalised by."""
        self.reading.fit(data, seed=seed)

    def extra_flops(self) -> float:
        """Sum the FLOPs of the reading and of the units."""
        return self.reading.flops + super().extra_flops()

    def frames_to_cluster(self, data: PretrainData) -> Callable[[int], np.ndarray]:
        """Give pairs of neighbouring 10 ms frames."""

        def pairs(index: int) -> np.ndarray:
            frames = torch.from_numpy(np.asarray(data.features(index), dtype=np.float32))
            return stack_frames(self.reading(frames[None])[0].numpy(), 2)

        return pairs

    def _read(self, batch: Batch) -> Tensor:
        """Pair neighbouring frames as they are read, (B, T // 2, 2 F)."""
        return stack_frames(self.reading(self.features_of(batch)), 2)

    def loss(self, batch: Batch, info: StepInfo) -> tuple[Tensor, dict[str, float | Tensor]]:
        """Cross-entropy of the units of masked frames, and of visible ones with ``unmasked_weight``."""
        frames = self._read(batch)
        if self.labels is None:
            raise ValueError("MelHubert needs targets")
        mask = self.masking.draw(len(frames), frames.shape[1], info.draws)
        if self.visible is not None:
            # How many frames the layers see is read from the mask: on the host, where reading it stops nothing.
            draws = info.draws.on_host()
            mask = equal_counts(self.masking.draw(len(frames), frames.shape[1], draws), draws)
        hidden = self._encode(frames, mask)
        mask = mask.to(frames.device)
        targets = self.labels.crop(self.origins_of(batch), frames.shape[1])
        predict = self.predict_later[self.stage - 1] if self.stage else self.predict
        loss, accuracy = masked_cross_entropy(
            predict, hidden, targets, mask, unmasked_weight=self.masking.unmasked_weight
        )
        return loss, {"accuracy": accuracy}

    def _encode(self, frames: Tensor, mask: Tensor) -> Tensor:
        """The encoder's output for frames (B, T, 2 F) of which those in ``mask`` (B, T) are hidden."""
        hidden = self.dropout(self.project(frames.masked_fill(mask.to(frames.device).unsqueeze(-1), 0.0)))
        if self.visible is None:
            return self.encoder(hidden)[0]
        hidden = self.encoder.layer_norm(hidden + self.encoder.pos_conv_embed(hidden))
        return self.visible(self.encoder.dropout(hidden), mask, self._layers)

    def _layers(self, hidden: Tensor) -> Tensor:
        rate = self.encoder.config.layerdrop
        for layer in self.encoder.layers:
            if not (self.training and rate and float(torch.rand(())) < rate):
                hidden = layer(hidden, attention_mask=None)
        return hidden

    def hidden_states(self, batch: Batch) -> list[Tensor]:
        """Compute the projected input and each layer's output."""
        projected = self.project(self._read(batch))
        return layer_outputs(self.encoder.layers, lambda: self.encoder(projected))

    def target_features(self, batch: Batch) -> Tensor:
        """Compute the output of the layer that is clustered; later ones do not run."""
        projected = self.project(self._read(batch))
        with only_layers(self.encoder, self.relabelled_layer) as layers:
            return layer_outputs(layers, lambda: self.encoder(projected))[-1]

    def trunk_layers(self) -> list[nn.Module]:
        """List the encoder layers."""
        return list(self.encoder.layers)

    def analytic_macs(self, num_samples: int) -> float:
        """Work out the MACs of the representation of one crop by formula."""
        config, width = self.encoder.config, self.encoder.config.hidden_size
        frames = KALDI_FBANK_40.num_frames(num_samples) // 2
        total = self.reading.macs(2 * frames) + float(frames) * self.project.in_features * width
        total += positions_macs(frames, width, config.num_conv_pos_embeddings, config.num_conv_pos_embedding_groups)
        total += config.num_hidden_layers * feed_forward_macs(frames, width, config.intermediate_size)
        total += sum(mixer.macs(frames) for mixer in self.mixers)
        return total + (config.num_hidden_layers - len(self.mixers)) * attention_macs(frames, width)
