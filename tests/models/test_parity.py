"""Losses, targets and mixers against second implementations: transformers', or slow loops written from the papers."""

from __future__ import annotations

import cmath
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from greenbench.cards import resolve
from greenbench.cost.subject import make_batch, step_info
from greenbench.models import contrastive
from greenbench.models.bestrq import RandomCodebooks, RandomProjectionQuantizer
from greenbench.models.cpc import _info_nce
from greenbench.models.draws import Draws
from greenbench.models.ema import cosine_decay, follow, linear_decay, make_teacher
from greenbench.models.mixers import FourierMixing, SummaryMixing
from greenbench.models.registry import build
from greenbench.models.waveform import normalise


def test_wav2vec2_loss_is_that_of_transformers() -> None:
    torch.manual_seed(0)
    model = build(
        resolve("wav2vec2", "tiny", {"contrast": {"negatives": 20}, "quantizer": {"enabled": True}})
    ).eval()  # eval: no Gumbel noise
    batch = make_batch(model, 3, 40_000, "cpu")
    loss, _ = model.loss(batch, step_info())

    again = step_info().draws
    frames = int(model.model._get_feat_extract_output_lengths(40_000))
    mask = model.masking.draw(3, frames, again)
    index, valid = contrastive.masked_positions(mask, model.masking.most(frames))
    local = contrastive.sample_negatives(valid, 20, again)
    flat = torch.zeros(3, frames, 20, dtype=torch.long)
    for row in range(3):
        for place in range(int(valid[row].sum())):
            flat[row, index[row, place]] = row * frames + index[row, local[row, place]]
    theirs = model.model(normalise(batch.waveform), mask_time_indices=mask, sampled_negative_indices=flat)
    assert float(loss.detach()) == pytest.approx(float(theirs.loss.detach()) / int(mask.sum()), rel=1e-4)


def test_wav2vec2_with_continuous_targets_compares_with_the_latent_frames_themselves() -> None:
    torch.manual_seed(0)
    model = build(resolve("wav2vec2", "tiny", {"contrast": {"negatives": 7}, "quantizer": {"enabled": False}})).eval()
    batch = make_batch(model, 2, 20_000, "cpu")
    loss, figures = model.loss(batch, step_info())

    again = step_info().draws
    frames = int(model.model._get_feat_extract_output_lengths(20_000))
    mask = model.masking.draw(2, frames, again)
    _, valid = contrastive.masked_positions(mask, model.masking.most(frames))
    negatives = contrastive.sample_negatives(valid, 7, again)
    output = model.model.wav2vec2(normalise(batch.waveform), mask_time_indices=mask)
    losses = []
    for row in range(2):
        places = mask[row].nonzero()[:, 0]
        goals = model.model.project_q(output.extract_features[row, places])
        guesses = model.model.project_hid(output.last_hidden_state[row, places])
        for place, guess in enumerate(guesses):
            rivals = [goals[place], *(goals[other] for other in negatives[row, place])]
            logits = torch.stack([torch.cosine_similarity(guess, rival, dim=0) for rival in rivals]) / 0.1
            losses.append(-torch.log_softmax(logits, dim=0)[0])
    assert float(loss.detach()) == pytest.approx(float(torch.stack(losses).mean().detach()), rel=1e-4)
    assert set(figures) == {"contrastive", "accuracy"}
    assert "quantizer" not in " ".join(name for name, _ in model.named_parameters())


def test_wav2vec2_of_transformers_gives_the_same_hidden_states() -> None:
    torch.manual_seed(0)
    model = build(resolve("wav2vec2", "tiny")).eval()
    batch = make_batch(model, 2, 20_000, "cpu")
    theirs = model.model.wav2vec2(normalise(batch.waveform), output_hidden_states=True).hidden_states
    ours = model.hidden_states(batch)
    assert len(ours) == len(theirs) == len(model.trunk_layers()) + 1
    assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


def test_data2vec_targets_are_the_normalised_mean_of_feed_forward_outputs() -> None:
    torch.manual_seed(0)
    model = build(resolve("data2vec", "tiny"))
    with torch.no_grad():
        for parameter in model.teacher.parameters():
            parameter.add_(0.01 * torch.randn_like(parameter))
    model.train()
    frames = torch.randn(2, 37, 192)
    found = model._targets(frames)
    teacher = model.teacher
    assert not teacher.training, "no dropout in the teacher"
    with torch.no_grad():
        hidden = teacher.dropout(teacher.layer_norm(frames + teacher.pos_conv_embed(frames)))
        outputs = []
        for layer in teacher.layers:
            attended = layer.layer_norm(hidden + layer.attention(hidden)[0])
            outputs.append(layer.feed_forward(attended))
            hidden = layer.final_layer_norm(attended + outputs[-1])
        total = torch.zeros(2, 37, 192)
        for output in outputs[-2:]:
            mean, variance = output.mean(1, keepdim=True), output.var(1, keepdim=True, unbiased=False)
            total += (output - mean) / (variance + 1e-5).sqrt()
    assert torch.allclose(found, total / 2, atol=1e-5)


def test_several_masks_cost_one_teacher_pass_and_one_front_end() -> None:
    from greenbench.cost.measure import count_training
    from greenbench.models.transformers_macs import encoder_macs

    several = ({"masking": {"per_clip": masks}} for masks in (1, 4))
    one, four = (count_training(build(resolve("data2vec", "tiny", o)), 1, 64_000).flops for o in several)
    student = 3 * 2 * encoder_macs(199, build(resolve("data2vec", "tiny")).model.config)
    assert four - one == pytest.approx(3 * student, rel=0.03)
    assert one > 1.5 * student


def test_random_projection_labels_are_the_nearest_codewords() -> None:
    torch.manual_seed(1)
    quantizer = RandomProjectionQuantizer(12, RandomCodebooks(codeword_width=5, codewords=30, books=2))
    frames = torch.randn(2, 9, 12) * 3 + 1
    labels = quantizer(frames)
    for row in range(2):
        values = frames[row].numpy()
        values = (values - values.mean(0)) / (values.std(0, ddof=1) + 1e-5)
        for book in range(2):
            for time, vector in enumerate(values @ quantizer.projection[book].numpy()):
                vector = vector / np.linalg.norm(vector)
                distances = [np.linalg.norm(vector - code) for code in quantizer.codewords[book].numpy()]
                assert labels[row, time, book] == int(np.argmin(distances))


def test_a_random_quantizer_stays_the_same_in_a_checkpoint_and_has_no_gradient() -> None:
    model = build(resolve("best-rq", "tiny"))
    assert "quantizer.projection" in model.state_dict()
    assert not any(name.startswith("quantizer") for name, _ in model.named_parameters())


def test_info_nce_of_cpc_against_loops() -> None:
    torch.manual_seed(2)
    predicted, target, distractors = torch.randn(2, 5, 6), torch.randn(2, 5, 6), torch.randn(2, 4, 6)
    losses = []
    for row in range(2):
        for time in range(5):
            scores = [predicted[row, time] @ v / 6**0.5 for v in (target[row, time], *distractors[row])]
            losses.append(-float(scores[0]) + math.log(sum(math.exp(float(s)) for s in scores)))
    loss, _ = _info_nce(predicted, target, distractors)
    assert float(loss) == pytest.approx(sum(losses) / len(losses), rel=1e-5)


def test_contrastive_loss_against_loops_with_equal_codewords_left_out() -> None:
    torch.manual_seed(3)
    predicted, targets = torch.randn(2, 6, 4), torch.randn(2, 6, 4)
    targets[0, 3] = 2 * targets[0, 1]  # the same direction: not a distractor of each other
    valid = torch.tensor([[True] * 6, [True] * 4 + [False] * 2])
    negatives = contrastive.sample_negatives(valid, 8, Draws(0))
    losses = []
    for row in range(2):
        for place in range(int(valid[row].sum())):
            score = [float(F.cosine_similarity(predicted[row, place], targets[row, place], dim=0)) / 0.2]
            rivals = [targets[row, other] for other in negatives[row, place].tolist()]
            rivals = [r for r in rivals if F.cosine_similarity(targets[row, place], r, dim=0) < 1 - 1e-5]
            score += [float(F.cosine_similarity(predicted[row, place], r, dim=0)) / 0.2 for r in rivals]
            losses.append(-score[0] + math.log(sum(math.exp(s) for s in score)))
    loss, _ = contrastive.contrastive_loss(predicted, targets, negatives, valid, temperature=0.2)
    assert float(loss) == pytest.approx(sum(losses) / len(losses), rel=1e-5)


def test_distractors_are_other_valid_positions_drawn_evenly() -> None:
    valid = torch.tensor([[True] * 5 + [False] * 3, [True] * 8])
    drawn = contrastive.sample_negatives(valid, 4000, Draws(0))
    for row, size in ((0, 5), (1, 8)):
        for place in range(size):
            shares = torch.bincount(drawn[row, place], minlength=8) / 4000
            assert shares[place] == 0
            assert shares[size:].sum() == 0
            others = [float(shares[k]) for k in range(size) if k != place]
            assert max(abs(s - 1 / (size - 1)) for s in others) < 0.04


def test_masked_positions_are_those_of_the_mask() -> None:
    mask = torch.rand(4, 50, generator=torch.Generator().manual_seed(0)) < 0.3
    index, valid = contrastive.masked_positions(mask, 30)
    for row in range(4):
        assert index[row][valid[row]].tolist() == mask[row].nonzero().flatten().tolist()
    frames = torch.randn(4, 50, 3)
    assert torch.equal(contrastive.pick(frames, index)[valid], frames[mask])


def test_fourier_mixing_is_the_real_part_of_the_double_sum() -> None:
    torch.manual_seed(4)
    x = torch.randn(1, 5, 4)
    mixed, weights = FourierMixing(4)(x)
    assert weights is None
    for u in range(5):
        for v in range(4):
            wave = lambda t, d, u=u, v=v: cmath.exp(-2j * cmath.pi * (u * t / 5 + v * d / 4))  # noqa: E731
            total = sum((float(x[0, t, d]) * wave(t, d) for t in range(5) for d in range(4)), 0j)
            assert float(mixed[0, u, v]) == pytest.approx(total.real / 20**0.5, abs=1e-5)


def test_summary_mixing_joins_each_frame_with_the_mean_of_all() -> None:
    torch.manual_seed(5)
    mixer = SummaryMixing(6)
    x = torch.randn(2, 7, 6)
    mixed, _ = mixer(x)
    for row in range(2):
        summary = torch.stack([F.gelu(mixer.summary(frame)) for frame in x[row]]).mean(0)
        for time in range(7):
            joined = torch.cat([F.gelu(mixer.local(x[row, time])), summary])
            assert torch.allclose(mixed[row, time], F.gelu(mixer.combine(joined)), atol=1e-6)


@pytest.mark.parametrize("name", ["fnet", "summarymixing"])
def test_a_mixer_has_no_attention_unless_asked(name: str) -> None:
    mixed = build(resolve(name, "tiny", {"mixing": {"attention_layers": 2}}))
    kinds = [type(layer.attention).__name__ for layer in mixed.trunk_layers()]
    assert kinds[:4] == [kinds[0]] * 4
    assert kinds[4:] == ["HubertAttention"] * 2


def test_a_teacher_follows_by_its_decay() -> None:
    torch.manual_seed(6)
    student = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3))
    teacher = make_teacher(student)
    before = [p.clone() for p in teacher.parameters()]
    with torch.no_grad():
        for parameter in student.parameters():
            parameter.add_(1.0)
        student[1].running_mean.fill_(5.0)
    follow(teacher, student, 0.9)
    for old, new in zip(before, teacher.parameters(), strict=True):
        assert torch.allclose(new, old + 0.1, atol=1e-6)
        assert not new.requires_grad
    assert torch.equal(teacher[1].running_mean, student[1].running_mean)
    assert linear_decay(0.0, 0.99, 0.999) == 0.99
    assert linear_decay(0.5, 0.99, 0.999, by=0.25) == 0.999
    assert cosine_decay(1.0, 0.995) == 1.0
    assert cosine_decay(0.5, 0.9) == pytest.approx(0.95)
