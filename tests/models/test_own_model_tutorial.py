"""The tutorial's code is run as it stands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from greenbench.cards import resolve
from greenbench.config import load_suite
from greenbench.cost.model_cost import count
from greenbench.cost.verify import verify

PAGE = Path(__file__).resolve().parents[2] / "docs" / "own-model.md"


def block(kind: str) -> str:
    return re.search(rf"```{kind}\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL).group(1)


@pytest.fixture
def model_file(tmp_path: Path) -> Path:
    path = tmp_path / "masked_gru.py"
    path.write_text(block("python"))
    return path


def test_the_tutorials_model_is_short_and_keeps_the_contract(model_file: Path) -> None:
    assert len(block("python").splitlines()) < 60
    verdict = verify(resolve(f"{model_file}:MaskedGru", "tiny"))
    assert verdict["ok"], verdict["checks"]
    assert verdict["seconds"] < 10
    assert {c["name"]: c["ok"] for c in verdict["checks"]}["FLOPs"] is True


def test_the_tutorials_model_is_costed_and_its_loss_on_shapes_counted(model_file: Path) -> None:
    facts = count(resolve(f"{model_file}:MaskedGru", "tiny"), seconds=2)
    assert facts.analytic_flops_forward_per_audio_s == pytest.approx(facts.flops_forward_per_audio_s, rel=1e-6)
    assert facts.flops_train_per_audio_s > 2.5 * facts.flops_forward_per_audio_s


def test_the_tutorials_suite_loads_and_sets_options(model_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(model_file.parent)
    Path("suite.toml").write_text(block("toml"))
    suite = load_suite("suite.toml")
    spec = resolve(suite.suite.models[0], suite.suite.size, suite.models["gru"])
    assert spec.label == "gru"
    assert spec.architecture == {"width": 256}
    assert spec.recipe.learning_rate == 2e-3
