from __future__ import annotations

import math

import pytest

from greenbench.cards import FAMILIES, card_from_table, card_names, load_card
from greenbench.errors import ConfigError
from greenbench.models.techniques import GROUPS, TECHNIQUES

CARDS = {name: load_card(name) for name in card_names()}
FIGURES = [(name, figure) for name, card in CARDS.items() for figure in card.published]
UNITS = {
    "params_m": "M", "gmac_per_s": "GMAC/s", "superb_macs_g": "GMAC", "gpu_h": "GPU-h", "wall_h": "h", "n_gpu": "GPU",
    "audio_h_processed": "h", "pretrain_data_h": "h", "n_languages": "languages", "superb_pr_per_pct": "%",
    "superb_asr_wer_pct": "%", "superb_ks_acc_pct": "%", "superb_sid_acc_pct": "%", "pretrain_flops_counted": "FLOP",
    "pretrain_flops_time_based": "FLOP",
}  # fmt: skip
TRAINED_HERE = {
    "eco", "melhubert", "essl", "hubert", "wavlm", "data2vec", "best-rq", "wav2vec2", "cpc", "distilhubert", "fnet",
    "summarymixing", "mhubert", "xlsr",
}  # fmt: skip


def test_every_family_of_the_field_has_a_card() -> None:
    assert {card.card.family for card in CARDS.values()} | {"own"} == set(FAMILIES)
    assert {name for name, card in CARDS.items() if card.card.trains and card.card.code} >= TRAINED_HERE


@pytest.mark.parametrize("name", CARDS)
def test_a_card_is_named_as_its_file_and_has_code_or_figures(name: str) -> None:
    card = CARDS[name]
    assert card.name == name
    assert card.card.code or card.published
    assert card.card.code or not card.card.trains
    assert card.card.summary
    if card.card.trains:
        assert {"tiny", "base"} <= set(card.sizes)


def test_every_published_figure_has_a_source_a_known_metric_and_its_unit() -> None:
    assert len(FIGURES) > 200
    for name, figure in FIGURES:
        assert len(figure.source.strip()) > 8, (name, figure)
        assert "://" in figure.source or "arXiv:" in figure.source, (name, figure)
        assert UNITS[figure.metric] == figure.unit, (name, figure)
        assert math.isfinite(figure.value), (name, figure)
        assert figure.value > 0, (name, figure)


def test_no_figure_is_given_twice_for_one_variant() -> None:
    keys = [(name, figure.metric, figure.variant) for name, figure in FIGURES]
    assert len(keys) == len(set(keys))


def test_computed_gpu_hours_agree_with_gpus_and_wall_time() -> None:
    for name, card in CARDS.items():
        values = {(f.metric, f.variant): f.value for f in card.published}
        for (metric, variant), hours in values.items():
            if metric == "gpu_h" and ("wall_h", variant) in values and ("n_gpu", variant) in values:
                expected = values["wall_h", variant] * values["n_gpu", variant]
                assert hours == pytest.approx(expected, rel=0.001), (name, variant)


def test_rates_agree_with_the_leaderboards_totals() -> None:
    for name, card in CARDS.items():
        values = {(f.metric, f.variant): f.value for f in card.published}
        for (metric, variant), total in values.items():
            if metric == "superb_macs_g":
                assert values["gmac_per_s", variant] == pytest.approx(total / 224.86, rel=0.001), (name, variant)


def test_estimates_by_operations_and_by_time_stay_apart() -> None:
    figures = {(f.metric, f.variant): f.value for f in CARDS["wav2vec2"].published}
    ratio = figures["pretrain_flops_time_based", "large"] / figures["pretrain_flops_counted", "large"]
    assert ratio > 3


def test_techniques_have_one_name_each() -> None:
    assert set(TECHNIQUES.values()) == set(GROUPS)
    for name, card in CARDS.items():
        assert set(card.card.techniques) <= set(TECHNIQUES), name


def test_a_figure_without_source_does_not_load() -> None:
    row = {"metric": "params_m", "value": 1.0, "unit": "M", "source": " "}
    head = {"name": "x", "title": "X", "family": "own", "summary": "x"}
    with pytest.raises(ConfigError, match="source is empty"):
        card_from_table({"card": head, "published": [row]}, "x.toml")
