"""An own model that cannot run on shapes is counted on the CPU, or refused in one line that names its file and line."""

from __future__ import annotations

from pathlib import Path

import pytest

from greenbench.cards import resolve
from greenbench.cost.model_cost import count
from greenbench.errors import ConfigError

MODEL = """
import torch
from torch import nn

from greenbench.features.spec import LOGMEL_80
from greenbench.models.base import Upstream


class Own(Upstream):
    frame_hz = 100.0
    feature_spec = LOGMEL_80

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(80, 80)
        self.trunk = nn.Linear(80, 240)

    def body(self, x):
        {body}

    def loss(self, batch, info):
        out = self.body(self.first(batch.features))
        return (out - batch.features).abs().mean(), {{}}

    def hidden_states(self, batch):
        first = self.first(batch.features)
        return [first, self.body(first)]

    def trunk_layers(self):
        return [self.trunk]
"""
ATTENTION = """q, k, v = self.trunk(x).view(*x.shape[:2], 3, 4, 20).permute(2, 0, 3, 1, 4)
        {call}
        return mixed.transpose(1, 2).reshape(x.shape)"""
FLEX = "from torch.nn.attention.flex_attention import flex_attention; mixed = flex_attention(q, k, v)"


def own(folder: Path, name: str, body: str) -> str:
    path = folder / f"{name}.py"
    path.write_text(MODEL.format(body=body))
    return f"{path}:Own"


def refused(entry: str) -> str:
    with pytest.raises(ConfigError, match="model Own can be counted neither on shapes nor on the CPU: ") as caught:
        count(resolve(entry, "tiny"), seconds=1.0)
    text = str(caught.value)
    assert "\n" not in text
    assert f"{entry.removesuffix(':Own')}:" in text
    return text


def test_attention_that_torch_differentiates_on_gpus_alone_is_refused_in_one_line(tmp_path: Path) -> None:
    assert "FlexAttention" in refused(own(tmp_path, "flex", ATTENTION.format(call=FLEX)))


def test_a_model_that_refuses_shapes_is_counted_on_the_cpu(tmp_path: Path) -> None:
    refuse = "if x.device.type == 'meta': raise ValueError('not here'){more}\n        return self.trunk(x)[..., :80]"
    on_shapes = count(resolve(own(tmp_path, "plain", "return self.trunk(x)[..., :80]"), "tiny"), seconds=1.0)
    on_cpu = count(resolve(own(tmp_path, "refuses", refuse.format(more="")), "tiny"), seconds=1.0)
    assert on_cpu.flops_forward_per_audio_s == on_shapes.flops_forward_per_audio_s > 0


@pytest.mark.parametrize(
    "body",
    [
        "raise KeyError('no such thing')",
        "return self.trunk(x)",
        "return torch.ones(3) @ torch.ones(4)",
        "assert x is None",
    ],
)
def test_a_model_that_runs_nowhere_is_one_line_with_its_file_and_line(body: str, tmp_path: Path) -> None:
    refused(own(tmp_path, "broken", body))
