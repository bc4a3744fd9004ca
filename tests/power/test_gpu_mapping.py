from __future__ import annotations

import itertools

import pytest

from greenbench.power.devices import Gpu, visible_gpus

A = Gpu(0, "GPU-aaaa1111-0000", "00000000:01:00.0", "H100")
B = Gpu(1, "GPU-aaaa2222-0000", "00000000:02:00.0", "H100")
C = Gpu(2, "GPU-cccc3333-0000", "00000000:03:00.0", "T4")
M = Gpu(3, "GPU-dddd4444-0000", "00000000:04:00.0", "H100", ("MIG-5555", "MIG-6666"), mig_enabled=True)
CARDS = [A, B, C, M]

# (CUDA_VISIBLE_DEVICES, cards in CUDA's order, slices, warns)
TABLE = [
    (None, [A, B, C, M], [None, None, None, "MIG-5555"], True),
    ("", [], [], False),
    ("-1", [], [], False),
    ("NoDevFiles", [], [], False),
    ("0", [A], [None], False),
    (" 1 ", [B], [None], False),
    ("2,0", [C, A], [None, None], False),
    ("0,-1,1", [A], [None], False),
    ("0,9,1", [A], [None], True),
    ("0,x", [A], [None], True),
    ("0,0", [], [], True),
    ("GPU-aaaa1111-0000", [A], [None], False),
    ("GPU-cccc", [C], [None], False),
    ("gpu-CCCC", [C], [None], False),
    ("GPU-aaaa", [], [], True),
    ("GPU-", [], [], True),
    ("GPU-zzzz", [], [], True),
    ("GPU-aaaa2,GPU-aaaa1", [B, A], [None, None], False),
    ("GPU-aaaa1,GPU-aaaa1111-0000", [], [], True),
    ("MIG-6666", [M], ["MIG-6666"], True),
    ("MIG-5555,MIG-6666", [M, M], ["MIG-5555", "MIG-6666"], True),
    ("MIG-7", [], [], True),
    ("MIG-GPU-dddd4444-0000/1/0", [M], ["MIG-GPU-dddd4444-0000/1/0"], True),
    ("3", [M], ["MIG-5555"], True),
    ("GPU-dddd", [M], ["MIG-5555"], True),
    ("+1", [B], [None], False),
]


@pytest.mark.parametrize("order", [None, "PCI_BUS_ID", "FASTEST_FIRST"])
@pytest.mark.parametrize(("value", "cards", "slices", "warns"), TABLE, ids=[repr(row[0]) for row in TABLE])
def test_the_environment_maps_to_the_cards_cuda_shows(value, cards, slices, warns, order):
    environment = {} if value is None else {"CUDA_VISIBLE_DEVICES": value}
    environment |= {} if order is None else {"CUDA_DEVICE_ORDER": order}
    for listed in itertools.permutations(CARDS):  # NVML's own order must not matter
        seen = visible_gpus(environment, listed)
        assert [g.uuid for g in seen.gpus] == [c.uuid for c in cards]
        assert [g.mig_uuid for g in seen.gpus] == slices
        assert [g.ordinal for g in seen.gpus] == list(range(len(cards)))
        assert [g.shared for g in seen.gpus] == [c is M for c in cards]
        assert seen.uuids == tuple(dict.fromkeys(c.uuid for c in cards))
    if warns:
        assert seen.warnings


@pytest.mark.parametrize(
    ("environment", "cards", "ambiguous"),
    [
        ({"CUDA_VISIBLE_DEVICES": "0"}, [A, C], True),
        ({"CUDA_VISIBLE_DEVICES": "0", "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}, [A, C], False),
        ({"CUDA_VISIBLE_DEVICES": "0"}, [A, B], False),
        ({"CUDA_VISIBLE_DEVICES": "0,1"}, [A, C], False),
        ({"CUDA_VISIBLE_DEVICES": "GPU-cccc"}, [A, C], False),
        ({}, [A, C], False),
    ],
)
def test_an_index_among_different_cards_is_ambiguous_unless_the_order_is_by_bus(environment, cards, ambiguous):
    warnings = visible_gpus(environment, cards).warnings
    assert any("fastest first" in w for w in warnings) is ambiguous


def test_no_cards_are_no_devices():
    assert visible_gpus({"CUDA_VISIBLE_DEVICES": "0"}, []).gpus == ()
