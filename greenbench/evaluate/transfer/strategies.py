"""Ways to carry a pretrained model over to a task: what is trained, and where gradients flow."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from greenbench.errors import ConfigError
from greenbench.evaluate.context import TaskLeftOut
from greenbench.evaluate.representation import label_rate_states
from greenbench.evaluate.transfer.modules import Bottleneck, SideNetwork
from greenbench.models.base import Batch, Upstream

LORA_RANK = 4
ADAPTER_WIDTH = 32
SIDE_WIDTH = 32


class Adapted(nn.Module):
    """A copy of a model with the parts a strategy trains; gives hidden states at 50 Hz.

    ``backbone_gradients`` says whether gradients flow through the backbone at all.
    """

    def __init__(self, model: Upstream, *, backbone_gradients: bool) -> None:
        super().__init__()
        self.model = model
        self.backbone_gradients = backbone_gradients
        self.extra = nn.ModuleDict()

    def states(self, batch: Batch) -> list[Tensor]:
        """Hidden states layer by layer, each (B, frames, D)."""
        # Dropout and layer drop stay off: a layer that did not run would be missing from the weighted sum.
        self.model.eval()
        with torch.set_grad_enabled(self.backbone_gradients and torch.is_grad_enabled()):
            states = label_rate_states(self.model, batch)
        if "side" in self.extra:
            states = [*states, self.extra["side"](states)]
        return states

    def trained(self) -> list[nn.Parameter]:
        """The parameters the strategy trains, the task's head apart."""
        return [p for p in self.parameters() if p.requires_grad]


@dataclass(frozen=True)
class Strategy:
    """A name, how a model is prepared, the learning rate of what it trains, and what it is in a sentence."""

    name: str
    prepare: Callable[[Upstream, Batch], Adapted]
    learning_rate: float
    summary: str


def frozen(model: Upstream, _example: Batch) -> Adapted:
    """Train nothing but the head."""
    adapted = Adapted(copy.deepcopy(model), backbone_gradients=False)
    adapted.model.requires_grad_(False)
    return adapted


def full(model: Upstream, _example: Batch) -> Adapted:
    """Train every parameter that hidden states depend on."""
    if next(model.parameters(), None) is None:
        raise TaskLeftOut(f"full needs parameters, and {type(model).__name__} has none")
    adapted = Adapted(copy.deepcopy(model), backbone_gradients=True)
    adapted.model.requires_grad_(True)
    return adapted


def full_frozen_front_end(model: Upstream, example: Batch) -> Adapted:
    """Train the encoder layers; all that comes before them keeps its weights."""
    adapted = frozen(model, example)
    for layer in _layers(adapted.model, "full-frozen-front-end"):
        layer.requires_grad_(True)
    adapted.backbone_gradients = True
    return adapted


def bitfit(model: Upstream, example: Batch) -> Adapted:
    """Train the biases, those of normalisation layers included (Ben Zaken et al. 2022, arXiv 2106.10199)."""
    adapted = frozen(model, example)
    for name, parameter in adapted.model.named_parameters():
        if name.rpartition(".")[2] in ("bias", "in_proj_bias"):
            parameter.requires_grad_(True)
    if not adapted.trained():
        raise TaskLeftOut(f"bitfit needs biases, and {type(model).__name__} has none")
    adapted.backbone_gradients = True
    return adapted


def adapters(model: Upstream, example: Batch) -> Adapted:
    """Put a bottleneck after each encoder layer and train only those (arXiv 1902.00751)."""
    adapted = frozen(model, example)
    layers = _layers(adapted.model, "adapters")
    widths = _output_widths(adapted.model, layers, example)
    parts = nn.ModuleList(Bottleneck(width, ADAPTER_WIDTH) for width in widths).to(_device(model))
    adapted.extra["adapters"] = parts
    for layer, part in zip(layers, parts, strict=True):
        layer.register_forward_hook(_after(part))
    adapted.backbone_gradients = True
    return adapted


def lora(model: Upstream, example: Batch) -> Adapted:
    """Add low-rank updates to the linear maps of the encoder layers through ``peft`` (arXiv 2106.09685)."""
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError as error:
        raise ConfigError(
            "[evaluate] transfer: 'lora' needs peft; install it: pip install 'greenbench[lora]'"
        ) from error
    adapted = frozen(model, example)
    targets = linear_names(adapted.model, _layers(adapted.model, "lora"))
    config = LoraConfig(r=LORA_RANK, lora_alpha=2 * LORA_RANK, target_modules=targets, bias="none")
    inject_adapter_in_model(config, adapted.model)
    adapted.backbone_gradients = True
    return adapted


def read(model: Upstream, example: Batch) -> Adapted:
    """Train a recurrent side network that reads frozen hidden states; the backbone sees no gradient."""
    adapted = frozen(model, example)
    with torch.no_grad():
        widths = [state.shape[-1] for state in adapted.states(example)]
    adapted.extra["side"] = SideNetwork(widths, SIDE_WIDTH).to(_device(model))
    return adapted


STRATEGIES: dict[str, Strategy] = {
    s.name: s
    for s in (
        Strategy("frozen", frozen, 1e-2, "frozen model, features cached, only the head is trained"),
        Strategy("full", full, 5e-4, "all parameters"),
        Strategy("full-frozen-front-end", full_frozen_front_end, 5e-4, "encoder layers; front end frozen"),
        Strategy("lora", lora, 3e-3, f"low-rank updates of the encoder's linear maps, rank {LORA_RANK}"),
        Strategy("read", read, 3e-3, f"recurrent side network of {SIDE_WIDTH} units over frozen hidden states"),
        Strategy("bitfit", bitfit, 3e-3, "biases only"),
        Strategy("adapters", adapters, 3e-3, f"bottlenecks of {ADAPTER_WIDTH} after each encoder layer"),
    )
}


def linear_names(model: nn.Module, layers: list[nn.Module]) -> list[str]:
    """The full names of the plain linear maps inside some layers.

    Subclasses of ``nn.Linear`` are left alone: ``nn.MultiheadAttention`` reads its output map's weight directly, so
    that a wrapper around it would never run.
    """
    inside = {id(m) for layer in layers for m in layer.modules()}
    return [name for name, m in model.named_modules() if type(m) is nn.Linear and id(m) in inside]


def _layers(model: Upstream, strategy: str) -> list[nn.Module]:
    layers = model.trunk_layers()
    if not layers:
        raise TaskLeftOut(f"{strategy} needs encoder layers, and {type(model).__name__}.trunk_layers() returns none")
    return layers


def _output_widths(model: Upstream, layers: list[nn.Module], example: Batch) -> list[int]:
    widths: dict[int, int] = {}

    def note(module: nn.Module, _args: object, result: Tensor | tuple[Tensor, ...]) -> None:
        widths[id(module)] = int((result[0] if isinstance(result, tuple) else result).shape[-1])

    handles = [layer.register_forward_hook(note) for layer in layers]
    model.eval()
    with torch.no_grad():
        model.hidden_states(example)
    for handle in handles:
        handle.remove()
    return [widths[id(layer)] for layer in layers]


def _after(part: nn.Module) -> Callable[..., Tensor | tuple[Tensor, ...]]:
    def hook(_module: nn.Module, _args: object, result: Tensor | tuple[Tensor, ...]) -> Tensor | tuple[Tensor, ...]:
        if isinstance(result, tuple):
            return (part(result[0]), *result[1:])
        return part(result)

    return hook


def _device(model: nn.Module) -> torch.device:
    parameter = next(model.parameters(), None)
    return torch.device("cpu") if parameter is None else parameter.device
