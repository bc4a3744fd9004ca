"""One counter for a block of code: fused kernels, inference, threads; and by name what it cannot count."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from greenbench.cost.whole_process import BlockFlops, counting_block

BATCH, FRAMES, WIDTH, INNER = 4, 100, 64, 256
ROWS = BATCH * FRAMES


def block_of(work: Callable[[], object]) -> BlockFlops:
    with counting_block() as block:
        work()
    return block


def frames() -> Tensor:
    return torch.randn(BATCH, FRAMES, WIDTH)


def encoder() -> None:
    with torch.no_grad():
        nn.TransformerEncoderLayer(WIDTH, 4, INNER, batch_first=True).eval()(frames())


def lstm() -> None:
    with torch.no_grad():
        nn.LSTM(WIDTH, WIDTH, batch_first=True)(frames())


def attention() -> None:
    query = torch.randn(BATCH, 4, FRAMES, WIDTH // 4)
    F.scaled_dot_product_attention(query, query, query)


def depthwise_step() -> None:
    source = torch.randn(BATCH, 64, FRAMES, requires_grad=True)
    nn.Conv1d(64, 64, 31, padding=15, groups=64)(source).sum().backward()


def linear() -> None:
    nn.Linear(WIDTH, INNER)(frames())


def inference() -> None:
    with torch.inference_mode():
        linear()


SCORES = 4 * BATCH * FRAMES * FRAMES * WIDTH
WORK = {
    encoder: 2 * ROWS * (4 * WIDTH**2 + 2 * WIDTH * INNER) + SCORES,
    lstm: 2 * ROWS * 2 * 4 * WIDTH**2,
    attention: SCORES,
    depthwise_step: 3 * 2 * ROWS * 64 * 31,
    linear: 2 * ROWS * WIDTH * INNER,
    inference: 2 * ROWS * WIDTH * INNER,
}


@pytest.mark.parametrize("work", WORK, ids=lambda work: work.__name__)
def test_work_is_counted_by_hand_and_nothing_is_unseen(work: Callable[[], None]) -> None:
    found = block_of(work)
    assert found.flops == WORK[work]
    assert found.unseen == []


@pytest.mark.parametrize("work", WORK, ids=lambda work: work.__name__)
def test_work_in_threads_that_the_block_starts_counts_alike(work: Callable[[], None]) -> None:
    def spread() -> None:
        with ThreadPoolExecutor(3) as pool:
            for job in [pool.submit(work) for _ in range(5)]:
                job.result()

    found = block_of(spread)
    assert found.flops == 5 * WORK[work]
    assert found.unseen == []


def test_a_thread_that_outlives_the_block_is_counted_no_longer() -> None:
    with ThreadPoolExecutor(1) as pool:
        first = block_of(lambda: pool.submit(linear).result())
        pool.submit(linear).result()
        assert first.flops == WORK[linear]
        assert threading.getprofile() is None


@pytest.fixture
def earlier_pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1, "earlier") as pool:
        pool.submit(linear).result()
        yield pool


def burn() -> None:
    began = time.thread_time()
    while time.thread_time() - began < 0.05:
        linear()


def test_a_thread_from_before_the_block_is_named_when_it_works(earlier_pool: ThreadPoolExecutor) -> None:
    (words,) = block_of(lambda: earlier_pool.submit(burn).result()).unseen
    assert words.startswith("thread 'earlier_0', started earlier, used ")
    assert block_of(linear).unseen == [], "it did nothing this time"


def test_a_child_process_is_noticed() -> None:
    program = "import time\nwhile time.process_time() < 0.05: pass"
    (words,) = block_of(lambda: subprocess.run([sys.executable, "-c", program], check=True)).unseen
    assert words.startswith("child processes used ")


@torch.library.custom_op("greenbench_test::product", mutates_args=())
def product(left: Tensor) -> Tensor:
    return left @ left


def test_operators_without_a_formula_are_named_and_cheap_ones_are_not() -> None:
    def work() -> None:
        product(torch.randn(4, 4))
        torch.linalg.svd(torch.randn(4, 4))
        linear()
        F.layer_norm(frames().softmax(-1).sum(0), (WIDTH,)).tanh().std()

    found = block_of(work)
    assert found.flops == WORK[linear]
    assert found.unseen == [
        "operator greenbench_test::product (1 calls), which has no formula",
        "operator aten::_linalg_svd (1 calls), which has no formula",
    ]
