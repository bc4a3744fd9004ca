from __future__ import annotations

import pytest

from greenbench.power.sources import tdp


@pytest.fixture
def table():
    data = tdp.codecarbon_data()
    if data is None:
        pytest.skip("codecarbon is not installed")
    return data / "hardware" / "cpu_power.csv"


@pytest.mark.parametrize(
    ("model", "watts"),
    [
        ("AMD EPYC 7763 64-Core Processor", 280),
        ("Intel(R) Xeon(R) Platinum 8375C CPU @ 2.90GHz", 300),
        ("11th Gen Intel(R) Core(TM) i7-1165G7 @ 2.80GHz", 28),
        ("AMD Ryzen 7 5800X 8-Core Processor", 105),
        ("Apple M1", 10),
    ],
)
def test_real_names_are_found(table, model, watts):
    low, high, _ = tdp.lookup(model, table)
    assert low <= watts <= high


@pytest.mark.parametrize("model", ["AMD EPYC", "Intel(R) Xeon(R) CPU @ 2.20GHz", "unknown", "", "Imaginary 9999Z"])
def test_names_without_a_known_model_number_are_not_guessed(table, model):
    assert tdp.lookup(model, table) is None


def test_an_unknown_cpu_gets_a_wide_range_and_the_reason(monkeypatch):
    monkeypatch.setattr(tdp, "cpu_model", lambda: ("Imaginary 9999Z", False))
    power = tdp.find()
    assert power.per_thread_low_w < power.per_thread_w < power.per_thread_high_w
    assert "Imaginary 9999Z" in power.reason


def test_a_virtual_machine_never_gets_the_whole_chip(monkeypatch):
    monkeypatch.setattr(tdp, "cpu_model", lambda: ("AMD EPYC 7763 64-Core Processor", True))
    monkeypatch.setattr(tdp.os, "cpu_count", lambda: 2)
    power = tdp.find()
    assert power.per_thread_w <= tdp.WATTS_PER_UNKNOWN_THREAD
    assert power.per_thread_high_w <= tdp.WATTS_PER_THREAD_HIGH
    assert "virtual machine" in power.reason


def test_the_users_figure_wins():
    import os

    power = tdp.find(65.0)
    assert power.per_thread_w == pytest.approx(65.0 / os.cpu_count())
    assert "given by the user" in power.reason
