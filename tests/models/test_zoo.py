"""What each approach promises beyond its loss: mixing, noise, stages, balance, pretrained weights, published sizes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from greenbench.batches.balance import balanced_epoch, language_weights
from greenbench.cards import load_card, resolve
from greenbench.cost.model_cost import count
from greenbench.cost.steps import BatchFlops
from greenbench.cost.subject import give_targets, make_batch, step_info, twin
from greenbench.errors import ConfigError
from greenbench.models import essl, wavlm
from greenbench.models.base import Batch
from greenbench.models.draws import Draws
from greenbench.models.registry import build
from greenbench.models.unit_model import UnitModel

SPEECH = Path(os.environ.get("GREENBENCH_TEST_SPEECH", Path(__file__).resolve().parents[3] / "shared" / "speech"))
TRAINS = [
    "wavlm",
    "data2vec",
    "best-rq",
    "wav2vec2",
    "cpc",
    "distilhubert",
    "fnet",
    "summarymixing",
    "essl",
    "mhubert",
    "xlsr",
]


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(
    ("name", "size", "key", "published_m", "gmac"),
    [
        ("wav2vec2", "base", "params", 95.04, 7.42),
        ("wav2vec2", "large", "params", 317.38, 19.24),
        ("wavlm", "base", "params", 94.70, 7.43),
        ("wavlm", "large", "params", 316.62, 19.24),
        ("data2vec", "base", "params", 93.75, 7.37),
        ("data2vec", "large", "params", 314.3, 19.15),
        ("mhubert", "base", "params", 95.0, 7.42),
        ("cpc", "base", "encoder_params", 1.84, None),
        ("distilhubert", "base", "encoder_params", 23.49, None),
        ("essl", "base", "encoder_params", 90.8, 1.27),
        ("hubert", "xlarge", "params", 964.0, None),
        ("xlsr", "1b", "params", 962.0, None),
        ("pretrained", "w2v-bert-2", "params", 580.0, None),
    ],
)
def test_sizes_match_what_was_published(name: str, size: str, key: str, published_m: float, gmac: float | None) -> None:
    found = count(resolve(name, size), fvcore=False)
    assert getattr(found, key) / 1e6 == pytest.approx(published_m, rel=0.005)
    if gmac is not None:
        assert found.macs_per_audio_s / 1e9 == pytest.approx(gmac, rel=0.03 if name == "essl" else 0.01)


@pytest.mark.parametrize("name", TRAINS)
def test_step_flops_fit_other_shapes(name: str) -> None:
    from greenbench.cost.measure import count_training

    model = build(resolve(name, "tiny"))
    flops = BatchFlops(model)
    assert flops(3, 80_000) == pytest.approx(count_training(model, 3, 80_000).flops, rel=0.015)
    assert flops.virtual


# -- WavLM ----------------------------------------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), rows=st.integers(1, 5), noise=st.sampled_from([0.0, 0.5, 1.0]))
def test_mixing_touches_one_stretch_of_at_most_half_a_crop(seed: int, rows: int, noise: float) -> None:
    wave = torch.randn(rows, 4000, generator=generator(seed + 1))
    mixed = wavlm.mix(wave, Draws(seed), prob=1.0, noise_share=noise)
    for before, after in zip(wave, mixed, strict=True):
        touched = (before != after).nonzero().flatten()
        if len(touched):
            assert touched[-1] - touched[0] < 2000
            level = (after - before)[
                touched[0] : touched[-1] + 1
            ].square().mean().sqrt() / before.square().mean().sqrt()
            if len(touched) > 500:
                assert 10 ** (-21 / 20) < level < 10 ** (6 / 20)


def test_mixing_is_as_frequent_as_asked_and_repeatable() -> None:
    wave = torch.randn(400, 1000, generator=generator(9))
    torch.manual_seed(0)
    mixed = wavlm.mix(wave, Draws(1), prob=0.2, noise_share=0.5)
    torch.manual_seed(0)
    assert torch.equal(mixed, wavlm.mix(wave, Draws(1), prob=0.2, noise_share=0.5))
    share = (mixed != wave).any(dim=1).float().mean()
    assert 0.12 < share < 0.28
    assert torch.equal(wavlm.mix(wave, Draws(1), prob=0.0, noise_share=0.5), wave)


def test_another_crop_is_never_the_same_one() -> None:
    wave = torch.eye(4).repeat_interleave(500, dim=1)  # each crop is silent where another sounds
    for seed in range(20):
        mixed = wavlm.mix(wave, Draws(seed), prob=1.0, noise_share=0.0)
        assert torch.equal(mixed[wave > 0], wave[wave > 0])


# -- essL -----------------------------------------------------------------------------------------------------------


def test_noise_is_added_at_the_asked_ratio() -> None:
    wave = torch.randn(64, 8000, generator=generator(2))
    noisy = essl.add_noise(wave, Draws(3), prob=1.0, snr_db=(0.0, 30.0))
    ratio_db = 20 * torch.log10(wave.square().mean(1).sqrt() / (noisy - wave).square().mean(1).sqrt())
    assert -0.5 < float(ratio_db.min()) < 6
    assert 24 < float(ratio_db.max()) < 30.5
    half = essl.add_noise(wave, Draws(3), prob=0.5, snr_db=(0.0, 30.0))
    assert 0.3 < (half == wave).all(dim=1).float().mean() < 0.7


def test_spec_augment_hides_a_share_of_bands_and_frames() -> None:
    features = torch.zeros(32, 400, 128)
    hidden = essl.spec_augment(features, Draws(4)) != 0
    whole_bands, whole_frames = hidden.all(dim=1).float().mean(), hidden.all(dim=2).float().mean()
    assert 0.05 < whole_bands < 0.30
    assert 0.10 < whole_frames < 0.40


def test_a_shifted_teacher_stays_aligned_with_the_student() -> None:
    torch.manual_seed(0)
    model = build(resolve("essl", "tiny")).eval()
    features = torch.randn(1, 160, 128)
    with torch.no_grad():
        plain = model.teacher(features)
        for seed in range(6):
            shifted = model._teach(features, Draws(seed))[:, : plain.shape[1]]
            similarity = (
                torch.nn.functional.normalize(shifted[0, 2:-2], dim=-1)
                @ torch.nn.functional.normalize(plain[0, 2:-2], dim=-1).T
            )
            assert (similarity.argmax(1) == torch.arange(len(similarity))).float().mean() > 0.8


def test_essl_frames_of_the_second_stage_stand_twice_at_any_length() -> None:
    model = build(resolve("essl", "tiny")).eval()
    for samples in (16_000, 17_280, 20_000, 23_360):
        states = model.hidden_states(make_batch(model, 1, samples, "cpu"))
        assert len({state.shape[1] for state in states}) == 1
        assert torch.equal(states[-1][:, 0], states[-1][:, 1])


# -- DistilHuBERT ---------------------------------------------------------------------------------------------------


def staged() -> tuple[Any, Batch]:
    torch.manual_seed(0)
    model = build(resolve("distilhubert", "tiny")).train()
    give_targets(model)
    return model, make_batch(model, 2, 16_000, "cpu")


def test_a_teacher_trained_here_is_left_alone_when_distilling_begins() -> None:
    model, batch = staged()
    model.loss(batch, step_info(0.1))[0].backward()
    assert all(p.grad is None for p in model.model.parameters())
    assert any(p.grad is not None for p in model.trained_teacher.parameters())
    model.zero_grad(set_to_none=True)
    model.loss(batch, step_info(0.6))[0].backward()
    assert all(p.grad is None for p in model.trained_teacher.parameters())
    assert all(p.grad is not None for p in model.model.parameters())


def test_the_student_starts_from_the_teacher_once_even_across_a_resume() -> None:
    model, batch = staged()
    model.loss(batch, step_info(0.6))
    weight = lambda m: m.model.feature_projection.projection.weight  # noqa: E731
    assert torch.equal(weight(model), weight(model.trained_teacher))
    with torch.no_grad():
        weight(model).add_(1.0)
    learnt = weight(model).clone()
    resumed = build(resolve("distilhubert", "tiny")).train()
    give_targets(resumed)
    resumed.load_state_dict(model.state_dict())
    resumed.loss(batch, step_info(0.7))
    assert torch.equal(weight(resumed), learnt)


def test_the_cost_of_a_step_follows_the_stage() -> None:
    model, batch = staged()
    flops = BatchFlops(model)
    training_the_teacher = flops(2, 16_000)
    model.loss(batch, step_info(0.6))
    assert flops(2, 16_000) != training_the_teacher


def tiny_folder(folder: Path) -> Path:
    from transformers import HubertConfig, HubertModel, Wav2Vec2FeatureExtractor

    torch.manual_seed(7)
    config = HubertConfig(
        hidden_size=48,
        num_hidden_layers=3,
        num_attention_heads=4,
        intermediate_size=96,
        conv_dim=(32,) * 7,
        num_conv_pos_embeddings=16,
        num_conv_pos_embedding_groups=4,
    )
    HubertModel(config).save_pretrained(folder)
    Wav2Vec2FeatureExtractor(do_normalize=False).save_pretrained(folder)
    return folder


def test_a_given_teacher_is_loaded_frozen_and_distilled_from_the_start(tmp_path: Path) -> None:
    options = {"teacher": {"source": str(tiny_folder(tmp_path))}, "distillation": {"predicted_layers": [1, 3]}}
    model = build(resolve("distilhubert", "tiny", options)).train()
    assert model.stage_fractions == ()
    loss, figures = model.loss(make_batch(model, 2, 16_000, "cpu"), step_info(0.0))
    loss.backward()
    assert figures["distilling"] == 1.0
    assert not any(p.requires_grad for p in model.given_teacher.parameters())
    assert model.export_config()["teacher"] == str(tmp_path)
    with pytest.raises(ConfigError, match=r"teacher.source = '/no/such' cannot be loaded"):
        build(resolve("distilhubert", "tiny", {"teacher": {"source": "/no/such"}}))
    with pytest.raises(ConfigError, match="between 1 and 3"):
        build(resolve("distilhubert", "tiny", {**options, "distillation": {"predicted_layers": [4]}}))


# -- pretrained -----------------------------------------------------------------------------------------------------


def test_a_local_folder_gives_the_hidden_states_of_transformers(tmp_path: Path) -> None:
    from transformers import HubertModel

    folder = tiny_folder(tmp_path)
    model = build(resolve("pretrained", "base", {"source": str(folder)})).eval()
    batch = make_batch(model, 2, 24_000, "cpu")
    theirs = HubertModel.from_pretrained(folder).eval()(batch.waveform, output_hidden_states=True).hidden_states
    ours = model.hidden_states(batch)
    assert len(ours) == len(theirs) == 4
    assert all(torch.allclose(a, b) for a, b in zip(ours, theirs, strict=True))
    assert model.frame_hz == 50.0
    assert count(model, seconds=2).flops_train_per_audio_s is None


def test_an_encoder_that_reads_its_own_features_is_evaluated_too(tmp_path: Path) -> None:
    from transformers import SeamlessM4TFeatureExtractor, Wav2Vec2BertConfig, Wav2Vec2BertModel

    config = Wav2Vec2BertConfig(hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64)
    Wav2Vec2BertModel(config).save_pretrained(tmp_path)
    SeamlessM4TFeatureExtractor().save_pretrained(tmp_path)
    model = build(resolve("pretrained", "base", {"source": str(tmp_path)})).eval()
    for samples in (32_000, 32_160, 25_600):
        states = model.hidden_states(make_batch(model, 2, samples, "cpu"))
        assert len(states) == 3
        assert abs(states[0].shape[1] - samples / 320) <= 1
        # Counted without weights and samples, the shapes are those that the extractor gives.
        virtual = twin(model, "meta")
        virtual.extractor = None
        assert states[0].shape == virtual.hidden_states(make_batch(model, 2, samples, "meta"))[0].shape


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "source is empty"),
        ({"source": "/no/such/folder"}, "cannot be loaded"),
        ({"model_type": "hubert"}, "cost only"),
    ],
)
def test_a_source_that_is_not_there_is_one_line(options: dict[str, str], words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        build(resolve("pretrained", "base", options))
    assert "\n" not in str(caught.value)


# -- languages ------------------------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(alpha=st.floats(0, 1), hours=st.lists(st.integers(1, 40), min_size=2, max_size=6), seed=st.integers(0, 99))
def test_languages_get_their_balanced_share_of_the_audio(alpha: float, hours: list[int], seed: int) -> None:
    languages = [f"l{k}" for k, count in enumerate(hours) for _ in range(count * 20)]
    lengths = np.full(len(languages), 32_000)
    chosen = balanced_epoch(languages, lengths, alpha, np.random.default_rng(seed))
    assert len(chosen) == len(languages)
    wanted = np.array(hours, dtype=float) ** alpha
    found = np.array([sum(languages[i] == f"l{k}" for i in chosen) for k in range(len(hours))])
    assert np.abs(found / len(chosen) - wanted / wanted.sum()).max() < 0.02


def test_alpha_one_keeps_every_utterance_once_and_zero_levels_languages() -> None:
    languages, lengths = ["a"] * 90 + ["b"] * 10, np.full(100, 16_000)
    kept = balanced_epoch(languages, lengths, 1.0, np.random.default_rng(0))
    assert sorted(kept) == list(range(100))
    weights = language_weights(languages, lengths, 0.0)
    assert weights[:90].sum() == pytest.approx(weights[90:].sum())
    with pytest.raises(ConfigError, match="language_alpha = 2"):
        build(resolve("mhubert", "tiny", {"language_alpha": 2.0}))


def test_an_epoch_of_a_multilingual_model_is_balanced_and_repeatable() -> None:
    from greenbench.batches.plan import EpochPlan

    languages = ["a"] * 900 + ["b"] * 100
    lengths = np.random.default_rng(0).integers(16_000, 64_000, 1000)
    options = {"seed": 3, "fingerprint": "x", "batch_seconds": 16.0, "crop_seconds": 4.0}
    level, again = (
        EpochPlan.make(lengths, epoch=1, languages=languages, language_alpha=0.0, **options) for _ in range(2)
    )
    assert np.array_equal(level.utterances, again.utterances)
    assert np.array_equal(level.starts, again.starts)
    crops = np.repeat(level.lengths, np.diff(level.bounds))
    rare = level.utterances >= 900
    assert crops[rare].sum() / crops.sum() == pytest.approx(0.5, abs=0.02)
    plain = EpochPlan.make(lengths, epoch=1, **options)
    assert len(np.unique(plain.utterances)) == 1000


# -- all ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["wav2vec2", "xlsr", "mhubert", "fnet", "data2vec"])
def test_a_misspelt_option_is_answered_with_the_nearest(name: str) -> None:
    with pytest.raises(
        ConfigError, match=r"\[models.*\]: unknown option 'mask_prob'; did you mean 'masking.probability'"
    ):
        build(resolve(name, "tiny", {"mask_prob": 0.5}))
    with pytest.raises(ConfigError, match=r"\[models.*masking\]: unknown key 'probabilty'; did you mean 'probability'"):
        build(resolve(name, "tiny", {"masking": {"probabilty": 0.5}}))


@pytest.mark.parametrize("name", TRAINS)
def test_every_card_names_only_options_its_code_takes(name: str) -> None:
    for size in load_card(name).sizes:
        with torch.device("meta"):
            assert build(resolve(name, size)) is not None


def crops(rows: int = 4, seconds: float = 2.0) -> torch.Tensor:
    import soundfile

    files = sorted((SPEECH / "kathleen").rglob("*.opus"))[:rows] or sorted((SPEECH / "kathleen").rglob("*.ogg"))[:rows]
    if len(files) < rows:
        pytest.skip("no recordings here")
    parts = [soundfile.read(file, dtype="float32", frames=round(seconds * 16_000))[0] for file in files]
    return torch.from_numpy(np.stack([np.resize(part, round(seconds * 16_000)) for part in parts]))


@pytest.mark.slow
@pytest.mark.parametrize("name", TRAINS)
def test_the_loss_falls_on_speech(name: str) -> None:
    from greenbench.features.extract import extract

    torch.manual_seed(0)
    model = build(resolve(name, "tiny", {"teacher": {"fraction": 0.01}} if name == "distilhubert" else {})).train()
    give_targets(model)
    labelled = model.trained_teacher if name == "distilhubert" else model
    if isinstance(labelled, UnitModel):
        labelled.labels.labels = np.random.default_rng(0).integers(0, 4, size=8).astype(np.int16)
    wave = crops()
    features = None if model.feature_spec is None else extract(wave, model.feature_spec)
    if features is not None:
        features = (features - features.mean()) / features.std()
    batch = Batch(wave if features is None else None, features, wave.shape[1], np.zeros(4, int), np.zeros(4, int))
    optimizer = torch.optim.AdamW(model.pretraining_parameters(), 1e-3)
    losses = []
    for step in range(24):
        info = step_info(0.2 + step / 48, step=step)
        loss, _ = model.loss(batch, info)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.pretraining_parameters(), 5.0)
        optimizer.step()
        model.after_step(info)
        losses.append(float(loss.detach()))
    assert np.mean(losses[-4:]) < 0.97 * np.mean(losses[:3])
