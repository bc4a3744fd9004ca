"""Every check finds the fault it is there for."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from greenbench.cards import card_names, load_card, resolve
from greenbench.cost.verify import format_verdict, verify

HEAD = """
import torch
from torch import nn
from greenbench.models.base import Upstream


class Sound(Upstream):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(320, 8)

    def hidden_states(self, batch):
        return [self.layer(batch.waveform[:, : batch.num_samples // 320 * 320].unflatten(1, (-1, 320)))]

    def loss(self, batch, info):
        return self.hidden_states(batch)[0].square().mean(), {}

    def analytic_macs(self, num_samples):
        return num_samples // 320 * 320 * 8
"""
FAULTS = {
    "hidden states": [
        "return [s[:, ::2] for s in super().hidden_states(batch)]",
        "return []",
        "return [s[0] for s in super().hidden_states(batch)]",
        "return [s / 0 for s in super().hidden_states(batch)]",
    ],
    "loss": [
        "return super().loss(batch, info)[0] * float('nan'), {}",
        "return self.hidden_states(batch)[0].square().mean(0), {}",
        "return super().loss(batch, info)[0].detach(), {}",
        "import random; return super().loss(batch, info)[0] + random.random(), {}",
        "raise KeyError('spam')",
    ],
    "gradients": ["return self.layer.bias.square().mean() + 0 * super().loss(batch, info)[0], {}"],
}
CASES = [(name, body) for name, bodies in FAULTS.items() for body in bodies]


def own(tmp_path: Path, body: str = "") -> str:
    path = tmp_path / f"own{abs(hash(body))}.py"
    path.write_text(f"{HEAD}\n\nclass Mine(Sound):\n    pass\n{body}\n")
    return f"{path}:Mine"


def results(target: str) -> dict[str, bool | None]:
    verdict = verify(resolve(target, "tiny"))
    checks = {check["name"]: check["ok"] for check in verdict["checks"]}
    assert verdict["ok"] is all(ok is not False for ok in checks.values())
    assert "Mine" in format_verdict(verdict)
    return checks


def test_a_sound_model_passes(tmp_path: Path) -> None:
    assert results(own(tmp_path)) == {
        "hidden states": True,
        "targets": None,
        "loss": True,
        "gradients": True,
        "FLOPs": True,
        "state_dict": True,
    }


@pytest.mark.parametrize(("name", "body"), CASES)
def test_a_fault_is_found_by_its_check(tmp_path: Path, name: str, body: str) -> None:
    method = "hidden_states(self, batch)" if name == "hidden states" else "loss(self, batch, info)"
    assert results(own(tmp_path, f"    def {method}:\n        {body}"))[name] is False


def test_a_wrong_formula_is_found(tmp_path: Path) -> None:
    assert (
        results(own(tmp_path, "    def analytic_macs(self, n):\n        return 1.1 * super().analytic_macs(n)"))[
            "FLOPs"
        ]
        is False
    )


def test_weights_hidden_from_the_state_dict_are_found(tmp_path: Path) -> None:
    body = (
        "    def __init__(self):\n        super().__init__()\n        self.secret = [torch.randn(8)]\n\n"
        "    def hidden_states(self, batch):\n        return [super().hidden_states(batch)[0] + self.secret[0]]"
    )
    assert results(own(tmp_path, body))["state_dict"] is False


def test_targets_that_cannot_be_restored_are_found(tmp_path: Path) -> None:
    body = (
        "    made = None\n\n    def make_targets(self, data, *, seed, device, progress):\n        self.made = True\n\n"
        "    def targets_state(self):\n        import numpy\n        self.calls = getattr(self, 'calls', 0) + 1\n"
        "        return {'labels': numpy.full(3, self.calls)}"
    )
    assert results(own(tmp_path, body))["targets"] is False


@pytest.mark.parametrize("name", [n for n in card_names() if load_card(n).card.trains])
def test_every_card_that_trains_keeps_the_contract(name: str) -> None:
    began = time.process_time()
    verdict = verify(resolve(name, "tiny"))
    assert verdict["ok"], format_verdict(verdict)
    assert {c["name"]: c["ok"] for c in verdict["checks"]}["gradients"] is True
    assert time.process_time() - began < 20
