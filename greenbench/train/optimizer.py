"""Optimizers of a recipe: AdamW or Adam for all parameters, or Muon for matrices with AdamW for the rest."""

from __future__ import annotations

import math

import torch
from torch import nn

from greenbench.cards import Recipe
from greenbench.errors import ConfigError
from greenbench.models.base import Upstream


class OptimizerSet:
    """The optimizers of one model behind one ``step``; learning rates are peak x factor."""

    def __init__(
        self, optimizers: list[torch.optim.Optimizer], peaks: list[float], parameters: list[nn.Parameter]
    ) -> None:
        self.optimizers, self.peaks, self.parameters = optimizers, peaks, parameters

    def step(self, factor: float, *, grad_clip: float) -> None:
        """Clip, update at ``factor`` of the peak rates and clear the gradients."""
        if grad_clip > 0:
            torch.nn.utils.clip_grad_norm_(self.parameters, grad_clip)
        self._update(factor)
        self.zero_grad()

    def scaled_step(self, factor: float, *, grad_clip: float, scaler: torch.amp.GradScaler) -> None:
        """Do the same with gradients of a scaled loss; an update whose gradients overflowed is left out.

        The scale is then lowered, else raised from time to time.
        """
        for optimizer in self.optimizers:
            scaler.unscale_(optimizer)
        norm = torch.nn.utils.clip_grad_norm_(self.parameters, grad_clip if grad_clip > 0 else math.inf)
        if math.isfinite(float(norm)):
            self._update(factor)
        self.zero_grad()
        scaler.update()

    def _update(self, factor: float) -> None:
        for optimizer, peak in zip(self.optimizers, self.peaks, strict=True):
            for group in optimizer.param_groups:
                group["lr"] = peak * factor
            optimizer.step()

    def zero_grad(self) -> None:
        """Clear all gradients."""
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=True)

    def state_tensors(self) -> dict[str, torch.Tensor]:
        """The optimizers' state as flat tensors for a checkpoint."""
        tensors = {}
        for number, optimizer in enumerate(self.optimizers):
            for index, entries in optimizer.state_dict()["state"].items():
                for name, value in entries.items():
                    tensors[f"{number}.{index}.{name}"] = torch.as_tensor(value).detach().cpu().contiguous()
        return tensors

    def load_state_tensors(self, tensors: dict[str, torch.Tensor]) -> None:
        """Take back what :meth:`state_tensors` returned."""
        for number, optimizer in enumerate(self.optimizers):
            state: dict[int, dict[str, torch.Tensor]] = {}
            for key, value in tensors.items():
                owner, index, name = key.split(".", 2)
                if int(owner) == number:
                    state.setdefault(int(index), {})[name] = value.clone()
            optimizer.load_state_dict({**optimizer.state_dict(), "state": state})


def build_optimizer(model: Upstream, recipe: Recipe, *, fused: bool = True) -> OptimizerSet:
    """Build the recipe's optimizers. Biases, norms and other vectors get no weight decay.

    ``fused`` updates all parameters in one kernel where the device has it; Muon has none, its AdamW part has.
    """
    parameters = model.pretraining_parameters()
    if recipe.optimizer == "muon":
        return _muon(model, recipe, parameters, fused=fused)
    kind = torch.optim.AdamW if recipe.optimizer == "adamw" else torch.optim.Adam
    optimizer = kind(
        _decay_groups(parameters, recipe.weight_decay),
        lr=recipe.learning_rate,
        betas=_betas(recipe),
        eps=recipe.eps,
        fused=fused and _fused(parameters),
    )
    return OptimizerSet([optimizer], [recipe.learning_rate], parameters)


def _muon(model: Upstream, recipe: Recipe, parameters: list[nn.Parameter], *, fused: bool) -> OptimizerSet:
    if not hasattr(torch.optim, "Muon"):
        raise ConfigError(f"optimizer = 'muon' needs torch 2.9 or newer, found {torch.__version__}; use 'adamw'")
    # Muon orthogonalises the update of hidden matrices; embeddings, heads and vectors stay with AdamW.
    hidden = {id(p) for layer in model.trunk_layers() for p in layer.parameters() if p.ndim == 2}
    matrices = [p for p in parameters if id(p) in hidden]
    others = [p for p in parameters if id(p) not in hidden]
    muon = torch.optim.Muon(
        matrices, lr=recipe.muon_learning_rate, weight_decay=recipe.weight_decay, momentum=0.95, nesterov=True
    )
    adamw = torch.optim.AdamW(
        _decay_groups(others, recipe.weight_decay),
        lr=recipe.learning_rate,
        betas=_betas(recipe),
        eps=recipe.eps,
        fused=fused and _fused(others),
    )
    return OptimizerSet([muon, adamw], [recipe.muon_learning_rate, recipe.learning_rate], parameters)


def _decay_groups(parameters: list[nn.Parameter], weight_decay: float) -> list[dict[str, object]]:
    return [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]


def _betas(recipe: Recipe) -> tuple[float, float]:
    if len(recipe.betas) != 2:
        raise ConfigError(f"recipe betas = {list(recipe.betas)}: expected two numbers, for example [0.9, 0.98]")
    return recipe.betas[0], recipe.betas[1]


def _fused(parameters: list[nn.Parameter]) -> bool:
    return all(p.device.type in ("cpu", "cuda") and p.is_floating_point() for p in parameters)
