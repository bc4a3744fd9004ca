"""Cards: shipped ones are sound, each published figure has its source, bad ones are named."""

from __future__ import annotations

import pytest

from greenbench.cards import card_from_table, card_names, load_card, resolve
from greenbench.errors import ConfigError

HEAD = {"name": "m", "title": "M", "family": "own", "summary": "s"}


@pytest.mark.parametrize("name", sorted(card_names()))
def test_every_shipped_card_loads_is_named_like_its_file_and_sources_its_figures(name: str) -> None:
    card = load_card(name)
    assert card.name == name
    assert all(figure.source.strip() for figure in card.published)
    if card.card.trains:
        assert card.card.code
        for size in card.sizes:
            assert resolve(name, size).code == card.card.code


@pytest.mark.parametrize("size", ["tiny", "base"])
@pytest.mark.parametrize("name", ["eco", "melhubert", "hubert"])
def test_the_models_of_the_quickstart_have_both_sizes(name: str, size: str) -> None:
    assert size in load_card(name).sizes


def test_a_figure_without_a_source_does_not_load() -> None:
    row = {"metric": "params_m", "value": 1.0, "unit": "M", "source": " "}
    with pytest.raises(ConfigError, match="source is empty"):
        card_from_table({"card": HEAD, "published": [row]}, "m.toml")


def test_unknown_model_and_size_name_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean 'melhubert'"):
        load_card("melhuber")
    with pytest.raises(ConfigError, match="no size 'bse'; did you mean 'base'"):
        resolve("eco", "bse")


def test_options_reach_recipe_architecture_and_size() -> None:
    spec = resolve("mine=eco", "tiny", {"learning_rate": 1e-4, "encoder": {"width": 64}, "size": "small"})
    assert spec.label == "mine"
    assert spec.card == "eco"
    assert spec.size == "small"
    assert spec.recipe.learning_rate == 1e-4
    assert spec.architecture["encoder"] == {"width": 64, "pattern": "cacacaca", "heads": 5}


def test_a_wrong_recipe_value_is_named() -> None:
    with pytest.raises(ConfigError, match=r"\[models.eco\] learning_rate: expected float"):
        resolve("eco", "tiny", {"learning_rate": "fast"})


def test_an_own_class_needs_no_card() -> None:
    spec = resolve("package.module:Thing", "tiny")
    assert (spec.label, spec.code) == ("Thing", "package.module:Thing")
