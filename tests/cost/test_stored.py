"""Counted costs are kept for the same question and code, counted anew for any other, and never trusted when torn."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from greenbench.cards import resolve
from greenbench.cost import describe
from greenbench.cost.model_cost import count
from greenbench.cost.stored import stored_cost


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GREENBENCH_CACHE", str(tmp_path))
    return tmp_path / "costs"


def test_what_is_kept_is_what_was_counted(folder: Path) -> None:
    spec = resolve("melhubert", "tiny")
    first = stored_cost(spec, seconds=2.0)
    assert len(list(folder.iterdir())) == 1
    assert stored_cost(spec, seconds=2.0) == first == count(spec, seconds=2.0)


def test_another_question_is_counted_anew(folder: Path) -> None:
    spec = resolve("cpc", "tiny")
    figures = [
        stored_cost(spec, seconds=2.0, fvcore=False),
        stored_cost(spec, seconds=3.0, fvcore=False),
        stored_cost(spec, seconds=2.0, batch=2, fvcore=False),
        stored_cost(resolve("cpc", "tiny", {"encoder": {"width": 64}}), seconds=2.0, fvcore=False),
    ]
    assert len(list(folder.iterdir())) == len(figures)
    assert len({(f.seconds, f.batch, f.params) for f in figures}) == len(figures)


def test_a_figure_that_is_torn_or_of_another_version_is_counted_again(folder: Path) -> None:
    spec = resolve("cpc", "tiny")
    first = stored_cost(spec, seconds=2.0, fvcore=False)
    (path,) = folder.iterdir()
    for text in ("{", "{}", json.dumps({**json.loads(path.read_text()), "unheard_of": 1})):
        path.write_text(text)
        assert stored_cost(spec, seconds=2.0, fvcore=False) == first
        assert json.loads(path.read_text())["params"] == first.params


def test_own_code_is_counted_each_time(folder: Path, tmp_path: Path) -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "own-model.md").read_text()
    own = tmp_path / "masked_gru.py"
    own.write_text(page.split("```python\n")[1].split("```")[0])
    stored_cost(resolve(f"{own}:MaskedGru", "tiny"), seconds=2.0, fvcore=False)
    assert not folder.exists()


def test_a_cost_on_record_loads_no_torch(folder: Path) -> None:
    describe("cpc", "tiny", 2.0)
    program = (
        "import sys; from greenbench.cost import describe; facts = describe('cpc', 'tiny', 2.0); "
        "print(facts['params'], 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    params, loaded = done.stdout.split()
    assert int(params) > 0
    assert loaded == "False"


def test_a_cache_that_cannot_be_written_costs_time_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "costs").write_text("a file where the folder should be")
    monkeypatch.setenv("GREENBENCH_CACHE", str(tmp_path))
    assert stored_cost(resolve("cpc", "tiny"), seconds=2.0, fvcore=False).params > 0
