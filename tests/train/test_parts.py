"""Optimizers, checkpoints and precision: what training is made of."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from greenbench.batches.batch import Batch
from greenbench.cards import Recipe
from greenbench.errors import ConfigError, DeviceError, OutputError, is_out_of_memory
from greenbench.models.base import Upstream
from greenbench.train.checkpoint import CheckpointStore
from greenbench.train.loop import cut
from greenbench.train.optimizer import build_optimizer
from greenbench.train.precision import check_dtype, pick_device, pick_dtype


class Toy(Upstream):
    """Two matrices in a trunk, a head, and vectors."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(6, 6)
        self.head = torch.nn.Linear(6, 3)

    def trunk_layers(self) -> list[torch.nn.Module]:
        return [self.layer]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(torch.tanh(self.layer(x)))


def train(model: Toy, recipe: Recipe, steps: range, optimizer_state: dict[str, torch.Tensor] | None = None) -> tuple:
    optimizer = build_optimizer(model, recipe)
    if optimizer_state is not None:
        optimizer.load_state_tensors(optimizer_state)
    for step in steps:
        x = torch.randn(8, 6, generator=torch.Generator().manual_seed(step))
        model(x).square().mean().backward()
        optimizer.step(1.0 - step / 20, grad_clip=recipe.grad_clip)
    return model, optimizer


@pytest.mark.parametrize("name", ["adamw", "adam", "muon"])
def test_an_optimizer_continues_from_its_checkpoint_to_the_bit(name: str, tmp_path: Path) -> None:
    if name == "muon" and not hasattr(torch.optim, "Muon"):
        pytest.skip("this torch has no Muon")
    recipe = Recipe(optimizer=name, learning_rate=0.01)
    torch.manual_seed(0)
    start = Toy()
    initial = {k: v.clone() for k, v in start.state_dict().items()}
    whole, _ = train(start, recipe, range(10))
    half = Toy()
    half.load_state_dict(initial)
    half, optimizer = train(half, recipe, range(5))
    store = CheckpointStore(tmp_path)
    store.save({"model": dict(half.state_dict()), "optimizer": optimizer.state_tensors()}, {"step": 5})
    groups, state = store.latest() or ({}, {})
    resumed = Toy()
    resumed.load_state_dict(groups["model"])
    resumed, _ = train(resumed, recipe, range(5, 10), groups["optimizer"])
    assert state["step"] == 5
    for key, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[key]), key


def test_adamw_is_torchs_own(tmp_path: Path) -> None:
    torch.manual_seed(1)
    ours, theirs = Toy(), Toy()
    theirs.load_state_dict(ours.state_dict())
    recipe = Recipe(learning_rate=0.01, weight_decay=0.1, grad_clip=0.0, betas=(0.9, 0.98), eps=1e-6)
    train(ours, recipe, range(6))
    matrices = [p for p in theirs.parameters() if p.ndim > 1]
    vectors = [p for p in theirs.parameters() if p.ndim < 2]
    reference = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}],
        lr=0.01,
        betas=(0.9, 0.98),
        eps=1e-6,
        foreach=False,
    )
    for step in range(6):
        for group in reference.param_groups:
            group["lr"] = 0.01 * (1.0 - step / 20)
        x = torch.randn(8, 6, generator=torch.Generator().manual_seed(step))
        reference.zero_grad()
        theirs(x).square().mean().backward()
        reference.step()
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-7)


def test_muon_takes_the_trunks_matrices_and_adamw_the_rest() -> None:
    if not hasattr(torch.optim, "Muon"):
        pytest.skip("this torch has no Muon")
    model = Toy()
    optimizer = build_optimizer(model, Recipe(optimizer="muon"))
    muon, adamw = optimizer.optimizers
    assert [p for g in muon.param_groups for p in g["params"]] == [model.layer.weight]
    assert sum(len(g["params"]) for g in adamw.param_groups) == 3


def test_betas_must_be_two() -> None:
    with pytest.raises(ConfigError, match="two numbers"):
        build_optimizer(Toy(), Recipe(betas=(0.9,)))


def test_only_the_newest_complete_checkpoint_stays_and_half_written_ones_do_not_count(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path)
    for step in (1, 2):
        store.save({"model": {"w": torch.full((2,), float(step))}}, {"step": step})
    (tmp_path / "step-000000003").mkdir()
    (tmp_path / "step-000000003" / "tensors.safetensors").write_bytes(b"torn")
    groups, state = store.latest() or ({}, {})
    assert state["step"] == 2
    assert groups["model"]["w"].tolist() == [2.0, 2.0]
    assert not (tmp_path / "step-000000001").exists()


def test_shared_tensors_and_targets_survive(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path)
    shared = torch.arange(3.0)
    store.save({"model": {"a": shared, "b": shared}}, {"step": 0})
    groups, _ = store.latest() or ({}, {})
    assert torch.equal(groups["model"]["a"], groups["model"]["b"])
    store.save_targets({"labels": np.arange(5, dtype=np.int16), "hop": np.array(320)})
    made = store.load_targets()
    assert made["labels"].tolist() == [0, 1, 2, 3, 4]
    assert made["hop"].item() == 320


def test_a_checkpoint_that_cannot_be_written_names_the_folder(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(OutputError, match="checkpoint cannot be written"):
        CheckpointStore(blocked / "x").save({"model": {}}, {"step": 1})


def test_a_step_saved_twice_is_never_without_a_whole_checkpoint(tmp_path: Path) -> None:
    """A kill at any operation leaves one: held against the folder before every rename and removal."""
    store = CheckpointStore(tmp_path)
    store.save({"model": {"w": torch.zeros(2)}}, {"step": 7, "again": 0})

    def audit(name: str, arguments: tuple[object, ...]) -> None:
        if active and name in ("os.rename", "os.remove", "os.rmdir", "shutil.rmtree"):
            groups, _ = CheckpointStore(tmp_path).latest() or ({}, {})
            seen.append(float(groups["model"]["w"][0]))

    active, seen = True, list[float]()
    sys.addaudithook(audit)
    for again in range(1, 12):
        store.save({"model": {"w": torch.full((2,), float(again))}}, {"step": 7, "again": again})
    active = False
    assert seen == sorted(seen)
    assert len(seen) > 11
    groups, state = store.latest() or ({}, {})
    assert (state["again"], groups["model"]["w"].tolist()) == (11, [11.0, 11.0])
    assert len(list(tmp_path.glob("step-*"))) == 1


def test_what_killed_writers_left_behind_is_removed_by_the_next_checkpoint(tmp_path: Path) -> None:
    (tmp_path / ".writing-123").mkdir()
    (tmp_path / ".writing-123" / "tensors.safetensors").write_bytes(b"torn")
    CheckpointStore(tmp_path).save({"model": {"w": torch.zeros(2)}}, {"step": 1})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-000000001"]


_FULL = """
import resource, signal, sys
from pathlib import Path
import numpy as np, torch
from greenbench.errors import OutputError
from greenbench.train.checkpoint import CheckpointStore
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
store, many = CheckpointStore(Path(sys.argv[1])), torch.zeros(100_000)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
for write in (
    lambda: store.save({"model": {"w": many}}, {"step": 1}),
    lambda: store.save_targets({"labels": many.numpy()}),
    lambda: store.save_model({"w": many}),
):
    try:
        write()
    except OutputError as error:
        print(error)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
"""


def test_a_disk_that_takes_no_more_tensors_is_one_line_with_the_remedy_and_leaves_nothing_half(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", _FULL, str(tmp_path)], capture_output=True, text=True, check=True)
    said = done.stdout.splitlines()
    assert len(said) == 3
    assert all("cannot be written" in line and "free space" in line for line in said), said
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


@given(share=st.floats(0.02, 1.0), crops=st.integers(1, 12), seconds=st.integers(1, 10))
@settings(deadline=None)
def test_a_cut_batch_has_at_most_its_share_and_keeps_features_and_labels_aligned(
    share: float, crops: int, seconds: int
) -> None:
    samples = seconds * 16_000
    batch = Batch(
        torch.zeros(crops, samples), torch.zeros(crops, samples // 160, 4), samples, np.arange(crops), np.zeros(crops)
    )
    part = cut(batch, share)
    assert part.features is not None
    assert part.waveform is not None
    assert part.waveform.shape == (part.size, part.num_samples)
    assert part.features.shape[:2] == (part.size, part.num_samples // 160)
    assert part.num_samples % 320 == 0
    # One crop of a second is the least a model can read.
    assert part.audio_s <= max(share * batch.audio_s, 1.0) + 1e-9


def test_absent_and_unknown_devices_are_refused_with_what_to_use() -> None:
    with pytest.raises(DeviceError, match="not a torch device; use auto"):
        pick_device("gpu")
    if not torch.cuda.is_available():
        remedy = "built without CUDA; use cpu" if torch.version.cuda is None else "use cpu|use auto or cpu"
        with pytest.raises(DeviceError, match=rf"'cuda:3': this machine shows 0 CUDA device.*({remedy})"):
            pick_device("cuda:3")
    if not torch.backends.mps.is_available():
        with pytest.raises(DeviceError, match="no Metal device; use auto or cpu"):
            pick_device("mps")
    assert pick_device("cpu").type == "cpu"
    assert pick_dtype("float32", torch.device("cpu")) == "float32"
    assert pick_dtype("auto", torch.device("cpu")) in ("float32", "bfloat16")


def test_a_device_that_does_not_multiply_in_a_format_is_named_with_what_to_use() -> None:
    for dtype in ("float32", "bfloat16", "float16"):
        check_dtype(dtype, torch.device("cpu"))
    # Nothing computes on the device of shapes.
    with pytest.raises(DeviceError, match=r"^\[train\] dtype = 'float16': torch .* on meta \(.+\); use another dtype"):
        check_dtype("float16", torch.device("meta"))


def test_an_allocation_that_fails_is_told_from_other_errors() -> None:
    with pytest.raises(RuntimeError) as refused:
        torch.empty(1 << 55)
    told = [refused.value, torch.OutOfMemoryError(), MemoryError(), RuntimeError("CUBLAS_STATUS_ALLOC_FAILED")]
    assert all(is_out_of_memory(error) for error in told)
    assert not any(is_out_of_memory(error) for error in (RuntimeError("shapes"), ValueError("out of memory")))
