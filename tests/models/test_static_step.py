"""A training step asks no device anything and brings it nothing: shapes are known, what it draws is computed there."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from greenbench.cards import card_names, load_card, resolve
from greenbench.cost.fused import FusedOperators
from greenbench.cost.subject import give_targets, make_batch, step_info, twin
from greenbench.models.base import Batch, Upstream
from greenbench.models.registry import build

SEVERAL_STAGES = {"distilhubert": 0.9}
TRAINABLE = [
    *("eco", "melhubert", "hubert", "wav2vec2", "data2vec", "wavlm", "best-rq", "cpc", "essl", "distilhubert"),
    *("fnet", "summarymixing", "mhubert", "xlsr", "topline"),
]


class Traffic(TorchDispatchMode):
    """Count what would make a device wait: tensors of the host used with its own, and values it must tell the host."""

    def __init__(self) -> None:
        super().__init__()
        self.copies: Counter[str] = Counter()
        self.questions: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        tensors = [t for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)]
        on_host = [t for t in tensors if not t.is_meta and t.dim()]
        name = func.overloadpacket.__name__
        to_device = kwargs.get("device") is not None and torch.device(kwargs["device"]).type == "meta"
        if on_host and (to_device or len(on_host) < len(tensors)):
            self.copies[name] += 1
        indices = [i for i in args[1] if i is not None] if name in ("index", "index_put", "index_put_") else []
        by_mask = any(i.dtype in (torch.bool, torch.uint8) for i in indices)
        asks = torch.Tag.data_dependent_output in func.tags or torch.Tag.dynamic_output_shape in func.tags
        if by_mask or (asks and name != "index"):
            self.questions[name] += 1
        return func(*args, **kwargs)


def on_shapes(name: str) -> tuple[Upstream, Batch]:
    model = twin(build(resolve(name, "tiny")), "meta").train()
    give_targets(model)
    model.place_targets(torch.device("meta"))
    batch = make_batch(model, 4, 48_000, "meta")
    batch.origins = torch.zeros(4, 2, dtype=torch.int64, device="meta")
    return model, batch


@pytest.mark.parametrize("name", TRAINABLE)
def test_a_step_copies_nothing_from_the_host_and_asks_the_device_nothing(name: str) -> None:
    model, batch = on_shapes(name)
    fraction = SEVERAL_STAGES.get(name, 0.0)
    with FusedOperators():
        # Constants of a shape (windows, rotations) are made in its first step.
        model.loss(batch, step_info(fraction, device="meta"))
        info = step_info(fraction, device="meta")
        with Traffic() as traffic:
            info.draws.go_to(1)
            loss, _ = model.loss(batch, info)
            loss.backward()
    assert traffic.copies == Counter()
    assert traffic.questions == Counter()


def test_every_card_that_trains_here_is_among_them() -> None:
    cards = {name: load_card(name).card for name in card_names()}
    learns = {name for name, card in cards.items() if card.code and card.trains}
    assert set(TRAINABLE) == {*learns, "topline"}


def test_a_copy_and_a_question_would_be_seen() -> None:
    frames, mask = torch.zeros(2, 3, device="meta"), torch.zeros(2, 3, dtype=torch.bool)
    with Traffic() as traffic:
        frames.masked_fill(mask.to("meta"), 1.0)
    assert traffic.copies == Counter({"_to_copy": 1})
    with Traffic() as traffic:
        torch.zeros(2, 3)[mask]
        torch.ones(2).sum().item()
    assert set(traffic.questions) == {"index", "_local_scalar_dense"}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Dynamo detected a call to a")  # transformers asks once whether there is a cluster
@pytest.mark.parametrize("name", ["eco", "melhubert", "hubert", "wav2vec2"])
def test_a_step_is_one_graph_a_shape(name: str) -> None:
    from torch._dynamo.testing import CompileCounter

    torch._dynamo.reset()
    graphs = CompileCounter()
    model = build(resolve(name, "tiny")).train()
    give_targets(model)
    model.place_targets(torch.device("cpu"))
    loss_of = torch.compile(model.loss, backend=graphs, fullgraph=True, dynamic=False)
    for shapes, samples in enumerate((32_000, 16_000), start=1):
        batch = make_batch(model, 2, samples, "cpu")
        batch.origins = torch.zeros(2, 2, dtype=torch.int64)
        for step in range(3):
            assert torch.isfinite(loss_of(batch, step_info(step / 10, step=step))[0])
            assert graphs.frame_count == shapes
