from __future__ import annotations

import math
import re

import pytest
import torch

from greenbench.cards import FAMILIES, card_from_table, card_names, load_card, resolve
from greenbench.cost.measure import count_forward
from greenbench.errors import ConfigError
from greenbench.models.registry import build
from greenbench.models.techniques import GROUPS, TECHNIQUES

CARDS = {name: load_card(name) for name in card_names()}
FIGURES = [(name, figure) for name, card in CARDS.items() for figure in card.published]
UNITS = {
    "params_m": "M",
    "gmac_per_s": "GMAC/s",
    "superb_macs_g": "GMAC",
    "gpu_h": "GPU-h",
    "wall_h": "h",
    "n_gpu": "GPU",
    "audio_h_processed": "h",
    "pretrain_data_h": "h",
    "n_languages": "languages",
    "superb_pr_per_pct": "%",
    "superb_asr_wer_pct": "%",
    "superb_ks_acc_pct": "%",
    "superb_sid_acc_pct": "%",
    "pretrain_flops_counted": "FLOP",
    "pretrain_flops_time_based": "FLOP",
}
LOCATOR = re.compile(r"https?://[\w.-]+\.\w+/\S{4,}|\barXiv:\d{4}\.\d{4,5}\b|\bdoi:10\.\d{4,}/\S+")
"""What a reader can look up: a page of a site (not the site), an arXiv id or a DOI."""
TRAINED_HERE = {
    "eco",
    "melhubert",
    "essl",
    "hubert",
    "wavlm",
    "data2vec",
    "best-rq",
    "wav2vec2",
    "cpc",
    "distilhubert",
    "fnet",
    "summarymixing",
    "mhubert",
    "xlsr",
}


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
        assert LOCATOR.search(figure.source), (name, figure)
        assert UNITS[figure.metric] == figure.unit, (name, figure)
        assert math.isfinite(figure.value), (name, figure)
        assert figure.value > 0, (name, figure)


@pytest.mark.parametrize(
    "source", ["paper", "Smith et al., 2020", "https://example.org/", "arXiv:2106", "doi:x", "personal communication"]
)
def test_what_cannot_be_looked_up_is_no_source(source: str) -> None:
    assert not LOCATOR.search(source)


def test_a_card_names_its_paper_and_the_year_fits() -> None:
    for name, card in CARDS.items():
        if card.card.family == "control" or name == "eco":
            continue
        assert LOCATOR.search(card.card.paper), name
        posted = re.search(r"arXiv:(\d\d)\d\d\.", card.card.paper)
        if posted:
            assert (card.card.year or 0) - 2000 - int(posted[1]) in (0, 1), name


def test_what_follows_from_other_figures_is_marked_as_computed() -> None:
    for name, figure in FIGURES:
        if figure.metric in ("audio_h_processed", "gmac_per_s", "pretrain_flops_counted"):
            assert figure.evidence in ("computed", "secondary"), (name, figure)
            assert figure.note, (name, figure)


def test_counted_flops_are_operations_times_audio() -> None:
    checked = 0
    for name, card in CARDS.items():
        figures = {(f.metric, f.variant): f for f in card.published}
        for (metric, variant), figure in figures.items():
            if metric == "pretrain_flops_counted" and ("gmac_per_s", variant) in figures:
                passes = re.search(r"2 x MACs x (\d)", figure.note)
                assert passes, (name, variant)
                seconds = 3600 * figures["audio_h_processed", variant].value
                flops = 2e9 * figures["gmac_per_s", variant].value * int(passes[1]) * seconds
                assert figure.value == pytest.approx(flops, rel=0.005), (name, variant)
                checked += 1
    assert checked >= 8


@pytest.mark.parametrize(
    ("name", "size"),
    [
        (name, figure.variant)
        for name, figure in FIGURES
        if figure.metric == "params_m" and figure.variant in CARDS[name].sizes and CARDS[name].card.code
    ],
)
def test_a_shape_has_its_published_parameters_or_the_card_says_how_many(name: str, size: str) -> None:
    with torch.device("meta"):
        model = build(resolve(name, size))
    (published,) = (f for n, f in FIGURES if (n, f.metric, f.variant) == (name, "params_m", size))
    counted = sum(p.numel() for p in model.pretraining_parameters()) / 1e6
    if abs(counted / published.value - 1) > 0.02:
        # Leaderboards count the representation's parameters, without heads and teachers.
        counted = count_forward(model, 1, 16_000).encoder_params / 1e6
    if abs(counted / published.value - 1) > 0.02:
        said = re.search(r"its shape counts (\d+) M", published.note)
        assert said, f"{name} {size}: {published.value} M published, {counted:.0f} M counted"
        counted_all = sum(p.numel() for p in model.pretraining_parameters()) / 1e6
        assert float(said[1]) == pytest.approx(counted_all, rel=0.005)


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
