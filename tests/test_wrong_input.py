"""Wrong input typed at the command line: one line on stderr, exit 2, nothing on stdout, nothing written."""

from __future__ import annotations

import dataclasses
import io
import json
import os
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import pytest

from greenbench.cli import main
from greenbench.config import Suite

FILES = {
    "nometric.toml": "[[budget]]\nceiling = 3\n",
    "notatable.toml": "budget = 3\n",
    "torn.toml": "[[budget\n",
    "syntax.py": "class A(:\n",
    "noclass.py": "x = 1\n",
    "raises.py": "raise RuntimeError('no luck')\n",
    "sub/mine.py": (
        "import torch\nfrom greenbench.models.base import Upstream\n"
        "class Mine(Upstream):\n"
        "    def __init__(self):\n        super().__init__()\n        self.w = torch.nn.Linear(4, 4)\n"
        "    def loss(self, batch, info):\n        return self.w.weight.sum(), {}\n"
        "    def hidden_states(self, batch):\n        return [batch.waveform[:, ::320, None].repeat(1, 1, 4)]\n"
    ),
    "sub/suite.toml": (
        '[suite]\nname = "own"\nmodels = ["mine=mine.py:Mine"]\ncontrols = []\ndata = "mini"\n[budget]\nsteps = 2\n'
    ),
    "empty/.keep": "",
}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand in a folder with broken files."""
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def complaint(arguments: list[str], capfd: pytest.CaptureFixture[str]) -> str:
    """Type a command that must be refused; return its one line."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    printed = capfd.readouterr()
    assert ended.value.code == 2, printed.err
    assert printed.err.count("\n") == 1, printed.err
    assert printed.out == ""
    return printed.err


WRONG = [
    ("cost quickstart", "it is a suite: greenbench plan quickstart"),
    ("plan eco", "it is a model: -o suite.models=eco"),
    ("plan -o suite.models=quickstart", "it is a suite"),
    ("cost eco --seconds nan", "--seconds"),
    ("cost eco --seconds 1e9", "--seconds"),
    ("cost eco --size tinny", "did you mean 'tiny'"),
    ("cost random", "allowed: academic-hubert"),
    ("plan -o train.device=cuda:99", "CUDA device"),
    ("plan -o train.crop_seconds=1e12", "crop_seconds = 1e+12"),
    ("plan -o train.batch_seconds=1e-9", "batch_seconds"),
    ("plan -o suite.models=nofile.py:X", "nofile.py does not exist"),
    ("plan -o suite.models=syntax.py:A", "syntax.py:1: SyntaxError"),
    ("plan -o suite.models=raises.py:A", "raises.py:1: RuntimeError: no luck"),
    ("plan -o suite.models=noclass.py:A", "no class 'A' there, nor any other subclass"),
    ("plan -o suite.models=./:A", "'./:A'"),
    ("plan -o suite.models=no.such.module:A", "'no' is not installed"),
    ("plan -o suite.models=torch.nn:Linear", "subclass of greenbench.models.base.Upstream"),
    ("plan -o suite.models=mms", "published figures only"),
    ("plan torn.toml", "not valid TOML"),
    ("plan empty", "cannot be read"),
    ("plan --history empty", "holds no trial"),
    ("models syntax.py:A", "models --check syntax.py:A"),
    ("models --check syntax.py:A", "syntax.py:1: SyntaxError"),
    ("models --check mms", "published figures only"),
    ("check --static --budgets nometric.toml", "[[budget]] #1: metric is missing"),
    ("check --static --budgets notatable.toml", "holds no [[budget]]"),
    ("check --static --budgets torn.toml", "not valid TOML"),
    ("report", "Missing argument"),
    ("report empty", "holds no trial"),
    ("compare empty", "compare: give BASE and NEW"),
    ("compare nowhere:eco nowhere:hubert", "nowhere:eco: no such run folder"),
    ("run --seeds 0", "--seeds"),
    ("run --resume sub --out x", "leave --out away"),
    ("run --resume empty", "holds no suite.toml"),
    ("cache --older-than -1 --clean", "--older-than"),
    ("data folder:empty", "no audio found"),
    ("data folder:syntax.py", "is a file"),
    ("data --download nope", "'nope' cannot be downloaded"),
    ("measure --region FRAX -- true", "did you mean FRA"),
    ("measure -- no-such-command", "'no-such-command'"),
    ("bogus", "bogus"),
    ("run --sedes 3", "--sedes"),
]


@pytest.mark.parametrize(("typed", "named"), WRONG, ids=[typed for typed, _ in WRONG])
@pytest.mark.usefixtures("here")
def test_what_was_typed_wrong_is_named_in_one_line(typed: str, named: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert named in complaint(typed.split(), capfd)


def _generated() -> list[tuple[str, str]]:
    """Every key of a suite with a letter too many, and with a value of another type."""
    found = []
    for section, kind in get_type_hints(Suite).items():
        if not dataclasses.is_dataclass(kind):
            continue
        for name, hint in get_type_hints(kind).items():
            if dataclasses.is_dataclass(hint):
                continue
            found.append((f"{section}.{name}x=1", f"{name}x"))
            if (value := _of_another_type(hint)) is not None:
                found.append((f"{section}.{name}={value}", name))
    return found


def _of_another_type(hint: Any) -> str | None:
    """A value that no key of this type takes; None where any text will do."""
    options = [hint] if get_origin(hint) is None or get_origin(hint) is Literal else list(get_args(hint))
    if str in options or hint is Any:
        return None
    if bool in options:
        return "perhaps"
    if any(kind in options for kind in (int, float)):
        return "banana"
    return "nonsense" if any(get_origin(kind) is Literal for kind in options) else None


@pytest.mark.parametrize(("override", "named"), _generated(), ids=[text for text, _ in _generated()])
def test_every_key_of_a_suite_refuses_a_typing_error_and_a_wrong_type(
    override: str, named: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert named in complaint(["plan", "-o", override], capfd)


def test_more_than_a_hundred_wrong_inputs_are_typed_here() -> None:
    assert len(WRONG) + len(_generated()) > 100


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_without_permission_is_named(here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    closed = here / "closed"
    closed.mkdir(mode=0o000)
    try:
        assert "closed" in complaint(["data", f"folder:{closed}"], capfd)
    finally:
        closed.chmod(0o700)


def test_an_own_model_lies_where_its_suite_says_wherever_the_shell_stands(
    here: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["plan", "sub/suite.toml", "--json"])
    printed = capfd.readouterr()
    assert ended.value.code == 0, printed.err
    assert [trial["label"] for trial in json.loads(printed.out)["trials"]] == ["mine"]
    assert here.exists()


def test_a_download_that_nobody_confirms_says_what_to_give(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO())
    with pytest.raises(SystemExit) as ended:
        main(["data", "dev-clean", "--download", "--root", str(tmp_path)])
    printed = capfd.readouterr()
    assert ended.value.code == 2
    assert "--yes" in printed.err
    assert "interrupted" not in printed.err
