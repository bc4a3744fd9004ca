"""wav2vec 2.0 with the modules of ``transformers``' pretraining head (arXiv 2006.11477).

The model must tell the quantized target of a masked frame from distractors of the same crop. Only masked frames are
quantized and compared: what the loss leaves out is not computed. With ``quantized = False`` the targets are the latent
frames themselves, as in the paper's ablation.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from transformers import Wav2Vec2Config, Wav2Vec2ForPreTraining

from greenbench.models.base import Batch, StepInfo, Upstream
from greenbench.models.capture import layer_outputs
from greenbench.models.contrastive import contrastive_loss, masked_positions, pick, sample_negatives
from greenbench.models.masking import span_mask
from greenbench.models.waveform import encoder_config, full_precision, normalise, takes_options_of


class Wav2Vec2(Upstream):
    """Contrastive prediction of quantized latent frames at 50 Hz."""

    @takes_options_of(encoder_config)
    def __init__(
        self,
        *,
        codebooks: int = 2,
        codewords: int = 320,
        codeword_width: int = 256,
        projection: int = 256,
        quantized: bool = True,
        negatives: int = 100,
        temperature: float = 0.1,
        diversity_weight: float = 0.1,
        gumbel_start: float = 2.0,
        gumbel_end: float = 0.5,
        mask_prob: float = 0.65,
        mask_span: int = 10,
        **encoder: Any,
    ) -> None:
        super().__init__()
        config = encoder_config(
            Wav2Vec2Config,
            **encoder,
            num_codevector_groups=codebooks,
            num_codevectors_per_group=codewords,
            codevector_dim=codeword_width,
            proj_codevector_dim=projection,
            feat_quantizer_dropout=0.0,
        )
        self.model = Wav2Vec2ForPreTraining(config)
        self.quantized = quantized
        if quantized:
            # transformers starts codewords at whatever memory held where no checkpoint fills them.
            nn.init.uniform_(self.model.quantizer.codevectors)
        else:
            self.model.add_module("quantizer", nn.Identity())
            self.model.project_q = nn.Linear(config.conv_dim[-1], projection)
        self.negatives, self.temperature, self.diversity_weight = negatives, temperature, diversity_weight
        self.gumbel_start, self.gumbel_end = gumbel_start, gumbel_end
        self.mask_prob, self.mask_span = mask_prob, mask_span

    def loss(self, batch: Batch, info: StepInfo) -> tuple[Tensor, dict[str, float | Tensor]]:
        """InfoNCE at masked frames plus the codebooks' diversity penalty."""
        if batch.waveform is None:
            raise ValueError("Wav2Vec2 needs the waveform")
        frames = int(self.model._get_feat_extract_output_lengths(batch.num_samples))
        mask = span_mask(batch.size, frames, prob=self.mask_prob, span=self.mask_span, generator=info.generator)
        index, valid = masked_positions(mask)
        negatives = sample_negatives(valid, self.negatives, info.generator)
        output = self.model.wav2vec2(normalise(batch.waveform), mask_time_indices=mask.to(batch.waveform.device))
        predicted = self.model.project_hid(pick(output.last_hidden_state, index))
        targets, perplexity = pick(output.extract_features, index), None
        if self.quantized:
            targets, perplexity = self._quantize(targets, valid, info.fraction)
        else:
            targets = self.model.project_q(targets)
        loss, won = contrastive_loss(predicted, targets, negatives, valid, temperature=self.temperature)
        figures: dict[str, float | Tensor] = {"contrastive": loss.detach(), "accuracy": won}
        if perplexity is None:
            return loss, figures
        codes = self.model.config.num_codevectors_per_group * self.model.config.num_codevector_groups
        figures["perplexity"] = perplexity.detach()
        return loss + self.diversity_weight * (1 - perplexity / codes), figures

    def _quantize(self, frames: Tensor, valid: Tensor, fraction: float) -> tuple[Tensor, Tensor]:
        """Return projected codewords (B, M, D) and the perplexity of their use, (B, M, C) in."""
        quantizer = self.model.quantizer
        # The published schedule multiplies by a constant per update: a geometric fall over the budget.
        quantizer.temperature = self.gumbel_start * (self.gumbel_end / self.gumbel_start) ** fraction
        with full_precision(frames):
            codewords, perplexity = quantizer(frames.float(), mask_time_indices=valid.to(frames.device))
            return self.model.project_q(codewords), perplexity

    def hidden_states(self, batch: Batch) -> list[Tensor]:
        """Return the encoder's input and each layer's output."""
        if batch.waveform is None:
            raise ValueError("Wav2Vec2 needs the waveform")
        wave = normalise(batch.waveform)
        return layer_outputs(self.trunk_layers(), lambda: self.model.wav2vec2(wave))

    def trunk_layers(self) -> list[nn.Module]:
        """Return the encoder layers."""
        return list(self.model.wav2vec2.encoder.layers)
