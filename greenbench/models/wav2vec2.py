"""wav2vec 2.0 with the modules of ``transformers``' pretraining head (arXiv 2006.11477).

The model must tell the quantized target of a masked frame from distractors of the same crop. Only masked frames are
quantized and compared: what the loss leaves out is not computed. Without ``quantizer.enabled`` the targets are the
latent frames themselves, as in the paper's ablation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from transformers import Wav2Vec2Config, Wav2Vec2ForPreTraining

from greenbench.models.balance import check_alpha
from greenbench.models.base import Batch, StepInfo, Upstream
from greenbench.models.capture import layer_outputs
from greenbench.models.contrastive import Contrast, contrastive_loss, masked_positions, pick, sample_negatives
from greenbench.models.encoders import WaveformShape
from greenbench.models.masking import Masking
from greenbench.models.transformers_macs import front_end_frames, waveform_model_macs
from greenbench.models.waveform import encode_masked, full_precision, normalise


@dataclass(frozen=True)
class GumbelQuantizer:
    """``codebooks`` of ``codewords`` each, drawn with a Gumbel softmax whose temperature falls from start to end.

    ``diversity_weight`` is what unused codewords count in the loss. Not ``enabled``: targets stay continuous.
    """

    enabled: bool = True
    codebooks: int = 2
    codewords: int = 320
    codeword_width: int = 256
    diversity_weight: float = 0.1
    gumbel_start: float = 2.0
    gumbel_end: float = 0.5


ENCODER = WaveformShape()
QUANTIZER = GumbelQuantizer()
CONTRAST = Contrast()
MASKING = Masking(probability=0.65, span=10)


class Wav2Vec2(Upstream):
    """Contrastive prediction of quantized latent frames at 50 Hz.

    With ``language_alpha`` on balanced languages, as XLS-R (arXiv 2111.09296).
    """

    one_graph = True

    def __init__(
        self,
        *,
        encoder: WaveformShape = ENCODER,
        quantizer: GumbelQuantizer = QUANTIZER,
        contrast: Contrast = CONTRAST,
        masking: Masking = MASKING,
        language_alpha: float | None = None,
    ) -> None:
        super().__init__()
        self.language_alpha = check_alpha(language_alpha)
        self.quantizer, self.contrast, self.masking = quantizer, contrast, masking
        config = encoder.config(
            Wav2Vec2Config,
            num_codevector_groups=quantizer.codebooks,
            num_codevectors_per_group=quantizer.codewords,
            codevector_dim=quantizer.codeword_width,
            proj_codevector_dim=contrast.projection,
            feat_quantizer_dropout=0.0,
        )
        self.model = Wav2Vec2ForPreTraining(config)
        if quantizer.enabled:
            # transformers starts codewords at whatever memory held where no checkpoint fills them.
            nn.init.uniform_(self.model.quantizer.codevectors)
        else:
            self.model.add_module("quantizer", nn.Identity())
            self.model.project_q = nn.Linear(config.conv_dim[-1], contrast.projection)

    def loss(self, batch: Batch, info: StepInfo) -> tuple[Tensor, dict[str, float | Tensor]]:
        """InfoNCE at masked frames plus the codebooks' diversity penalty."""
        waveform = self.waveform_of(batch)
        frames = front_end_frames(self.model.config, batch.num_samples)
        mask = self.masking.draw(batch.size, frames, info.draws)
        index, valid = masked_positions(mask, self.masking.most(frames))
        negatives = sample_negatives(valid, self.contrast.negatives, info.draws)
        hidden, latent = encode_masked(self.model.wav2vec2, normalise(waveform), mask)
        predicted = self.model.project_hid(pick(hidden, index))
        targets, perplexity = pick(latent, index), None
        if self.quantizer.enabled:
            targets, perplexity = self._quantize(targets, valid, info.fraction)
        else:
            targets = self.model.project_q(targets)
        loss, won = contrastive_loss(predicted, targets, negatives, valid, temperature=self.contrast.temperature)
        figures: dict[str, float | Tensor] = {"contrastive": loss.detach(), "accuracy": won}
        if perplexity is None:
            return loss, figures
        codes = self.model.config.num_codevectors_per_group * self.model.config.num_codevector_groups
        figures["perplexity"] = perplexity.detach()
        return loss + self.quantizer.diversity_weight * (1 - perplexity / codes), figures

    def _quantize(self, frames: Tensor, valid: Tensor, fraction: float) -> tuple[Tensor, Tensor]:
        """Give projected codewords (B, M, D) and the perplexity of their use, (B, M, C) in."""
        quantizer = self.model.quantizer
        # The published schedule multiplies by a constant per update: a geometric fall over the budget.
        start, end = self.quantizer.gumbel_start, self.quantizer.gumbel_end
        quantizer.temperature = start * (end / start) ** fraction
        with full_precision(frames):
            codewords, perplexity = quantizer(frames.float(), mask_time_indices=valid)
            return self.model.project_q(codewords), perplexity

    def hidden_states(self, batch: Batch) -> list[Tensor]:
        """Compute the encoder's input and each layer's output."""
        wave = normalise(self.waveform_of(batch))
        return layer_outputs(self.trunk_layers(), lambda: self.model.wav2vec2(wave))

    def trunk_layers(self) -> list[nn.Module]:
        """List the encoder layers."""
        return list(self.model.wav2vec2.encoder.layers)

    def analytic_macs(self, num_samples: int) -> float:
        """Work out the MACs of the representation of one crop by formula."""
        return waveform_model_macs(num_samples, self.model.config)

    def export_config(self) -> dict[str, Any]:
        """Say how languages are balanced."""
        return {} if self.language_alpha is None else {"language_alpha": self.language_alpha}
