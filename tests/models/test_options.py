"""Options of models: read off the constructor, laid over each other, refused in one line with the nearest name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from greenbench.cards import resolve
from greenbench.config import load_suite
from greenbench.errors import ConfigError
from greenbench.models.base import Upstream
from greenbench.models.options import arguments, defaults, option_names
from greenbench.models.registry import build, check_options


@dataclass(frozen=True)
class Inner:
    reach: int = 3


@dataclass(frozen=True)
class Group:
    size: int = 1
    shares: tuple[float, ...] = (0.5,)
    inner: Inner = Inner()

    def __post_init__(self) -> None:
        if self.size < 0:
            raise ValueError(f"size = {self.size} must be 0 or more")


class Grouped(Upstream):
    def __init__(self, *, group: Group = Group(size=7), rate: float = 0.1, names: list[str] | None = None) -> None:
        super().__init__()
        self.group, self.rate, self.names = group, rate, names


class Open(Upstream):
    def __init__(self, *, rate: float = 0.1, **more: object) -> None:
        super().__init__()
        self.rate, self.more = rate, more


def test_a_group_keeps_the_defaults_of_its_parameter_for_keys_that_are_not_given() -> None:
    assert arguments(Grouped, {"group": {"shares": [1, 2]}}, "x") == {"group": Group(size=7, shares=(1.0, 2.0))}
    assert arguments(Grouped, {"group": {"inner": {"reach": 9}}}, "x") == {"group": Group(size=7, inner=Inner(9))}
    assert arguments(Grouped, {"rate": 1}, "x") == {"rate": 1.0}


def test_every_option_has_a_path_and_a_default() -> None:
    assert list(option_names(Grouped)) == ["group.size", "group.shares", "group.inner.reach", "rate", "names"]
    assert defaults(Grouped)["group"] == {"size": 7, "shares": [0.5], "inner": {"reach": 3}}


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (
            {"size": 2},
            "[models.x]: unknown option 'size'; did you mean 'group.size'? Allowed: group.size, group.shares",
        ),
        ({"grop": {}}, "[models.x]: unknown option 'grop'; did you mean"),
        ({"group": {"sice": 2}}, "[models.x.group]: unknown key 'sice'; did you mean 'size'? allowed: "),
        ({"group": 3}, "[models.x.group]: expected a table with keys of size, shares, inner; found 3"),
        ({"group": {"size": "big"}}, "[models.x.group] size: expected int, found 'big'"),
        ({"group": {"size": -1}}, "[models.x.group]: size = -1 must be 0 or more"),
        ({"group": {"inner": {"reach": 0.5}}}, "[models.x.group] inner reach: expected int, found 0.5"),
        ({"rate": "fast"}, "[models.x] rate: expected float, found 'fast'"),
    ],
)
def test_a_wrong_option_is_one_line_that_names_table_key_and_remedy(table: dict, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        arguments(Grouped, table, "x")
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_own_code_may_take_anything() -> None:
    assert arguments(Open, {"rate": 2.0, "else": {"a": 1}}, "x") == {"rate": 2.0, "else": {"a": 1}}
    assert arguments(Grouped, {"names": ["a"]}, "x") == {"names": ["a"]}


def test_own_code_whose_annotations_cannot_be_read_is_built_unchecked(tmp_path: Path) -> None:
    path = tmp_path / "own.py"
    path.write_text(
        "from __future__ import annotations\nfrom greenbench.models.base import Upstream\n\n"
        "class Mine(Upstream):\n    def __init__(self, *, rank: Unheard = 3):\n        super().__init__()\n"
        "        self.rank = rank\n"
    )
    assert vars(build(resolve(f"{path}:Mine", "tiny", {"rank": "x"})))["rank"] == "x"


def test_card_size_and_suite_are_laid_over_each_other_key_by_key() -> None:
    suite = load_suite("quickstart", ["models.hubert.masking.probability=0.25", "models.hubert.encoder.layers=2"])
    spec = resolve("hubert", "tiny", suite.options_of("hubert"))
    card = resolve("hubert", "tiny").architecture
    assert spec.architecture["masking"] == {**card["masking"], "probability": 0.25}
    assert spec.architecture["encoder"] == {**card["encoder"], "layers": 2}
    assert len(build(spec).trunk_layers()) == 2


@pytest.mark.parametrize(
    ("card", "old", "new"),
    [
        ("eco", "mask_prob", "masking.probability"),
        ("eco", "target_warps", "targets.context.warps"),
        ("eco", "normalise_tract", "inputs.normalise_tract"),
        ("eco", "units", "targets.units"),
        ("hubert", "relabel_at", "relabelling.at"),
        ("hubert", "mask_span", "masking.span"),
        ("melhubert", "drop_masked", "masking.drop_masked"),
        ("wav2vec2", "negatives", "contrast.negatives"),
        ("data2vec", "ema_start", "teacher.ema_start"),
    ],
)
def test_a_former_flat_name_is_answered_with_its_place(card: str, old: str, new: str) -> None:
    with pytest.raises(ConfigError, match=f"unknown option '{old}'; did you mean '{new}'"):
        check_options(resolve(card, "tiny", {old: 1}))


def test_the_control_without_options_takes_none() -> None:
    with pytest.raises(ConfigError, match=r"\[models.logmel\]: unknown option 'width'"):
        check_options(resolve("logmel", "tiny", {"width": 3}))
