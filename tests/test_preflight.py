"""What cannot be scored is said before anything is trained."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from greenbench.config import EvaluateSection, load_suite
from greenbench.corpora.corpus import Corpus
from greenbench.corpora.utterance import Utterance
from greenbench.errors import ConfigError
from greenbench.plan import TrialPlan, expand
from greenbench.preflight import check_memory, unscorable
from tests.fake_nvml import FakeDriver, FakeGpu, Load


def corpus(**labels: str) -> Corpus:
    def utterance(split: str) -> Utterance:
        return Utterance(id=split, path=f"{split}.wav", offset=0, num_samples=16_000, split=split, **labels)

    return Corpus("toy", "toy", {split: (utterance(split),) for split in ("pretrain", "train", "test")})


def test_audio_without_labels_is_said_to_end_without_an_error_figure() -> None:
    problem = unscorable(EvaluateSection(tasks=("phones", "language")), corpus())
    assert problem is not None
    assert "phones, language" in problem
    assert "toy" in problem


def test_a_fallback_that_the_labels_allow_counts() -> None:
    assert unscorable(EvaluateSection(tasks=("phones",)), corpus(text="one two")) is None
    assert unscorable(EvaluateSection(tasks=("phones",)), corpus(speaker="anna")) is None


def test_tasks_without_labels_are_always_possible() -> None:
    assert unscorable(EvaluateSection(tasks=("effective_rank",)), corpus()) is None


def plans_of(*overrides: str) -> tuple[TrialPlan, ...]:
    return expand(load_suite("quickstart", ["suite.models=eco", "suite.controls=", *overrides]))


def too_much_s() -> int:
    """Seconds of audio whose samples take a tenth of this machine's memory."""
    return int(psutil.virtual_memory().total / 16_000 / 4 / 10)


def corpus_of(seconds: float) -> Corpus:
    whole = Utterance(id="long", path="long.wav", offset=0, num_samples=int(seconds * 16_000), split="pretrain")
    return Corpus("toy", "toy", {"pretrain": (whole,)})


def test_a_batch_that_this_machine_has_no_memory_for_is_refused_with_one_that_would_fit() -> None:
    seconds = too_much_s()
    with pytest.raises(ConfigError) as refused:
        check_memory(plans_of("train.device=cpu", f"train.batch_seconds={seconds}"), corpus_of(seconds))
    said = str(refused.value)
    assert said.startswith(f"[train] batch_seconds = {seconds:g}: a step of eco needs at least ")
    assert "this machine has" in said
    fitting = float(re.search(r"; batch_seconds = ([\d.e+]+) would fit", said)[1])
    assert 4 <= fitting < seconds
    check_memory(plans_of("train.device=cpu", f"train.batch_seconds={fitting}"), corpus_of(seconds))


def test_a_batch_beyond_the_whole_corpus_is_no_larger_than_the_corpus() -> None:
    seconds = too_much_s()
    check_memory(plans_of("train.device=cpu", f"train.batch_seconds={seconds}"), corpus_of(600))


def test_recomputed_activations_are_tried_as_no_count_knows_them() -> None:
    seconds = too_much_s()
    huge = (f"train.batch_seconds={seconds}", "train.activation_checkpointing=true", "train.device=cpu")
    check_memory(plans_of(*huge), corpus_of(seconds))


def test_the_memory_of_the_card_that_torch_calls_so_is_asked_of_the_driver(cuda_driver: FakeDriver) -> None:
    cuda_driver.program(FakeGpu(Load.constant(60.0)), FakeGpu(Load.constant(70.0)))
    done = subprocess.run([sys.executable, "-c", _ASK], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(80 << 30), str(80 << 30), "None"]


_ASK = """
from greenbench.power.sources.nvml_memory import card_memory
for device in ("cuda:0", "cuda:1", "cuda:2"):
    found = card_memory(device)
    print(found and found.total_bytes)
"""


def test_without_a_driver_no_memory_is_known(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LD_LIBRARY_PATH", str(tmp_path))
    done = subprocess.run([sys.executable, "-c", _ASK], capture_output=True, text=True, check=True)
    if Path("/dev/nvidia0").exists():
        pytest.skip("this machine has a driver")
    assert done.stdout.split() == ["None"] * 3
