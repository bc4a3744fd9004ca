from __future__ import annotations

import itertools
from typing import Any

import pytest

from greenbench.power.sources.cuda_visible import Gpu, named_gpus, visible_gpus

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
def test_the_environment_maps_to_the_cards_cuda_shows(
    value: Any, cards: Any, slices: list[str | None], warns: bool, order: str | None
) -> None:
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
def test_an_index_among_different_cards_is_ambiguous_unless_the_order_is_by_bus(
    environment: dict[str, str], cards: Any, ambiguous: bool
) -> None:
    warnings = visible_gpus(environment, cards).warnings
    assert any("fastest first" in w for w in warnings) is ambiguous


def test_no_cards_are_no_devices() -> None:
    assert visible_gpus({"CUDA_VISIBLE_DEVICES": "0"}, []).gpus == ()


def test_the_cuda_drivers_own_order_decides_what_an_index_means() -> None:
    said = ["cccc3333-0000", "AAAA11110000"]  # CUDA writes UUIDs without NVML's prefix
    seen = visible_gpus({"CUDA_VISIBLE_DEVICES": "0,1"}, CARDS, said)
    assert [g.uuid for g in seen.gpus] == [C.uuid, A.uuid]
    assert seen.warnings == ()


def test_a_card_that_only_cuda_knows_is_warned_about() -> None:
    seen = visible_gpus({"CUDA_VISIBLE_DEVICES": "0"}, [A, C], ["ffff"])
    assert seen.gpus == ()
    assert any("ffff" in w and "cannot be metered" in w for w in seen.warnings)


# (names, environment, the driver's order, cards, a guess)
NAMED = [
    (["cuda"], {}, None, [A], False),
    (["cuda:1"], {}, None, [B], False),
    (["cuda:0"], {"CUDA_VISIBLE_DEVICES": "1"}, None, [B], False),
    (["cuda:1"], {"CUDA_VISIBLE_DEVICES": "GPU-aaaa2,GPU-aaaa1"}, None, [A], False),
    (["cuda:0"], {}, ["aaaa22220000", "aaaa11110000"], [B], False),
    (["cuda:9"], {}, None, [], False),
    (["GPU-aaaa2"], {"CUDA_VISIBLE_DEVICES": "0"}, None, [B], False),
    (["1", "0"], {}, None, [B, A], False),
    (["hip:0"], {}, None, [], False),
    (["cuda:0", "GPU-aaaa1"], {}, None, [A], False),
]


@pytest.mark.parametrize(("names", "environment", "said", "cards", "guess"), NAMED, ids=[str(row[:3]) for row in NAMED])
def test_names_of_torch_devices_end_in_uuids(
    names: list[str], environment: dict[str, str], said: list[str] | None, cards: Any, guess: bool
) -> None:
    seen = named_gpus(names, environment, [B, A], said)
    assert list(seen.uuids) == [card.uuid for card in cards]
    assert any("fastest first" in w for w in seen.warnings) is guess


def test_an_ordinal_among_different_cards_is_a_guess_that_says_so() -> None:
    (warning,) = named_gpus(["cuda:1"], {}, [A, C]).warnings
    assert "fastest first" in warning
    assert named_gpus(["cuda:1"], {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}, [A, C]).warnings == ()
    assert named_gpus(["GPU-cccc"], {"CUDA_VISIBLE_DEVICES": "0"}, [A, C]).warnings == ()


def test_a_name_that_is_no_card_is_left_out_with_a_warning_and_the_others_stay() -> None:
    seen = named_gpus(["GPU-zzzz", "GPU-cccc"], {}, CARDS)
    assert seen.uuids == (C.uuid,)
    assert any("GPU-zzzz" in w for w in seen.warnings)


def test_a_slice_named_for_metering_is_its_whole_card_and_says_so() -> None:
    seen = named_gpus(["MIG-6666"], {}, CARDS)
    assert seen.gpus[0].shared
    assert any("whole card" in w for w in seen.warnings)
