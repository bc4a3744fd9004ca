"""Worker processes keep order, hand back exceptions, and lose only the job that kills them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Generator

import pytest

from greenbench.audio.workers import run_jobs


def square(x: int) -> int:
    return x * x


def say_and_square(x: int) -> int:
    print("a library that prints")
    os.write(1, b"and one that writes\n")
    return x * x


def fragile(x: int) -> int:
    if x == 5:
        os.kill(os.getpid(), signal.SIGSEGV)
    return x


def refuse(x: int) -> int:
    if x == 3:
        raise ValueError(f"no {x}")
    return x


@pytest.mark.parametrize("workers", [1, 2, 5])
@pytest.mark.parametrize("function", [square, say_and_square])
def test_results_come_in_order(workers: int, function: Callable[[int], int]) -> None:
    assert list(run_jobs(function, list(range(40)), workers)) == [x * x for x in range(40)]


def test_a_dead_worker_costs_one_job() -> None:
    results = list(run_jobs(fragile, list(range(12)), 2, crashed=lambda job, status: -status))
    assert results == [signal.SIGSEGV if x == 5 else x for x in range(12)]
    with pytest.raises(RuntimeError, match="died with status -11"):
        list(run_jobs(fragile, list(range(12)), 2))


@pytest.mark.parametrize("workers", [1, 2])
def test_an_exception_arrives_as_it_was(workers: int) -> None:
    with pytest.raises(ValueError, match="no 3"):
        list(run_jobs(refuse, list(range(6)), workers))


def test_leaving_early_ends_the_workers() -> None:
    results = run_jobs(square, list(range(1000)), 2)
    assert isinstance(results, Generator)
    assert next(results) == 0
    results.close()


def test_corpora_and_decoding_do_not_load_torch() -> None:
    modules = (
        "greenbench.audio.scan, greenbench.features.waveforms, greenbench.corpora.readers, greenbench.corpora.download"
    )
    code = f"import sys, {modules}; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
