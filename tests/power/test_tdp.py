from __future__ import annotations

import os
from pathlib import Path

import pytest

from greenbench.power.sources import tdp
from greenbench.resources import table as shipped


@pytest.fixture
def table() -> Path:
    return shipped("cpu_tdp.csv")


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
def test_real_names_are_found(table: Path, model: str, watts: float) -> None:
    found = tdp.lookup(model, table)
    assert found is not None
    low, high, _ = found
    assert low <= watts <= high


@pytest.mark.parametrize("model", ["AMD EPYC", "Intel(R) Xeon(R) CPU @ 2.20GHz", "unknown", "", "Imaginary 9999Z"])
def test_names_without_a_known_model_number_are_not_guessed(table: Path, model: str) -> None:
    assert tdp.lookup(model, table) is None


# One processor of /proc/cpuinfo, as a virtual machine on an EPYC 7763 shows it, and a bare two-socket machine.
GUEST = """processor\t: {}
vendor_id\t: AuthenticAMD
model name\t: AMD EPYC 7763 64-Core Processor
physical id\t: 0
flags\t\t: fpu vme sse2 ht syscall hypervisor lahf_lm avx2

"""
SERVER = """processor\t: {0}
model name\t: Intel(R) Xeon(R) Platinum 8375C CPU @ 2.90GHz
physical id\t: {1}
flags\t\t: fpu vme sse2 ht syscall avx512f

"""
ARM = """processor\t: {}
BogoMIPS\t: 50.00
Features\t: fp asimd evtstrm aes

"""


def cpuinfo(folder: Path, text: str) -> tdp.Processor:
    path = folder / "cpuinfo"
    path.write_text(text)
    return tdp.this_processor(path)


def test_a_list_of_processors_is_read_as_the_kernel_writes_it(tmp_path: Path) -> None:
    guest = cpuinfo(tmp_path, "".join(GUEST.format(i) for i in range(2)))
    assert guest == tdp.Processor("AMD EPYC 7763 64-Core Processor", 2, 1, virtual=True)
    server = cpuinfo(tmp_path, "".join(SERVER.format(i, i // 64) for i in range(128)))
    assert server == tdp.Processor("Intel(R) Xeon(R) Platinum 8375C CPU @ 2.90GHz", 128, 2, virtual=False)
    assert cpuinfo(tmp_path, "".join(ARM.format(i) for i in range(4))) == tdp.Processor("unknown", 4)


def test_without_a_list_of_processors_threads_are_still_known(tmp_path: Path) -> None:
    found = tdp.this_processor(tmp_path / "nowhere")
    assert found.threads == os.cpu_count()
    assert not found.virtual


def test_an_unknown_cpu_gets_a_wide_range_and_the_reason() -> None:
    power = tdp.find(processor=tdp.Processor("Imaginary 9999Z", 8))
    assert power.per_thread_low_w < power.per_thread_w < power.per_thread_high_w
    assert "Imaginary 9999Z" in power.reason


def test_a_virtual_machine_never_gets_the_whole_chip(tmp_path: Path, table: Path) -> None:
    power = tdp.find(processor=cpuinfo(tmp_path, "".join(GUEST.format(i) for i in range(2))))
    assert power.per_thread_w <= tdp.WATTS_PER_UNKNOWN_THREAD
    assert power.per_thread_high_w <= tdp.WATTS_PER_THREAD_HIGH
    assert "virtual machine" in power.reason


def test_every_package_of_a_machine_has_its_own_tdp(tmp_path: Path, table: Path) -> None:
    one = tdp.find(processor=cpuinfo(tmp_path, "".join(SERVER.format(i, 0) for i in range(64))))
    two = tdp.find(processor=cpuinfo(tmp_path, "".join(SERVER.format(i, i // 64) for i in range(128))))
    assert one.per_thread_w * one.threads == pytest.approx(300)
    assert two.per_thread_w * two.threads == pytest.approx(600)


def test_the_users_figure_wins() -> None:
    power = tdp.find(65.0, tdp.Processor("AMD EPYC 7763 64-Core Processor", 4, virtual=True))
    assert power.per_thread_w == pytest.approx(65.0 / 4)
    assert "given by the user" in power.reason
