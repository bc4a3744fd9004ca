"""The light core: what ``pip install .`` brings, in a fresh environment, with every verb that needs no training."""

from __future__ import annotations

import csv
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from greenbench.extras import missing_library
from greenbench.resources import table

ROOT = Path(__file__).resolve().parents[1]
MOST_MB = 130
MOST_ENTER_CPU_S = 0.4
HEAVY = {"torch", "transformers", "codecarbon", "scipy", "pandas", "matplotlib", "scikit-learn", "greenbench-corpora"}


def build_tables() -> Any:
    spec = importlib.util.spec_from_file_location("build_tables", ROOT / "data" / "build_tables.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_tables_are_those_of_the_installed_codecarbon() -> None:
    pytest.importorskip("codecarbon", reason="the tables' source comes with the extra 'bench'")
    builder = build_tables()
    shipped = json.loads(table("regions.json").read_text(encoding="utf-8"))
    origin = shipped.pop("origin")
    installed = metadata.version("codecarbon")
    if installed != origin["version"]:
        pytest.skip(f"codecarbon {installed} is here, the tables are of {origin['version']}: run data/build_tables.py")
    data = builder.codecarbon_folder()
    assert shipped == builder.regions(data)
    assert origin["sha256"] == builder.origin(data)["sha256"]
    with table("cpu_tdp.csv").open(newline="", encoding="utf-8") as ours, (data / builder.CPUS).open(newline="") as own:
        assert list(csv.DictReader(ours)) == list(csv.DictReader(own))


def test_a_missing_library_is_one_line_with_its_extra() -> None:
    error = missing_library(ModuleNotFoundError("No module named 'torch.nn'", name="torch.nn"))
    assert str(error).startswith("this needs torch; install it: pip install 'greenbench[bench]'")
    assert missing_library(ModuleNotFoundError("No module named 'mine'", name="mine")) is None


@pytest.fixture(scope="module")
def core(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh environment with the core alone; its Python."""
    folder = tmp_path_factory.mktemp("core")
    subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
    python = folder / "venv" / "bin" / "python"
    before = _megabytes(folder / "venv")
    constraints = ["-c", str(ROOT / "constraints.txt")]
    subprocess.run([python, "-m", "pip", "install", "--quiet", *constraints, "pytest", "setuptools"], check=True)
    tests = _megabytes(folder / "venv")
    subprocess.run([python, "-m", "pip", "install", "--quiet", *constraints, ROOT], check=True)
    added = _megabytes(folder / "venv") - tests
    print(f"\nempty {before:.0f} MB, with pytest {tests:.0f} MB, the core adds {added:.0f} MB")
    assert added <= MOST_MB
    return python


def _megabytes(folder: Path) -> float:
    return sum(p.stat().st_blocks * 512 for p in folder.rglob("*") if p.is_file() and not p.is_symlink()) / 2**20


@pytest.fixture
def run_in_core(core: Path, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run the core's Python in an empty folder, so that nothing of the checkout is found."""

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "PYTEST", "COV"))}
        command = [str(core), *map(str, arguments)]
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)

    return run


@pytest.mark.slow
def test_the_core_brings_nothing_that_trains(run_in_core: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    listed = json.loads(run_in_core("-m", "pip", "list", "--format", "json").stdout)
    names = {str(entry["name"]).lower().replace("_", "-") for entry in listed}
    print("\n" + ", ".join(sorted(names)))
    assert "greenbench" in names
    assert not names & HEAVY


@pytest.mark.slow
def test_the_core_meters_compares_checks_and_exports(
    run_in_core: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    doctor = run_in_core("-m", "greenbench", "doctor", "--seconds", "0.5", "--json")
    assert doctor.returncode == 0, doctor.stderr
    measured = run_in_core("-m", "greenbench", "measure", "--region", "FRA", "--json", "--", "sleep", "0.2")
    figures = json.loads(measured.stdout)
    assert figures["energy_j"] > 0
    assert figures["carbon"]["region"] == "FRA"
    runs = ROOT / "tests" / "fixtures" / "run-schema-3"
    assert json.loads(run_in_core("-m", "greenbench", "compare", runs, runs, "--json").stdout)["comparisons"]
    exported = run_in_core("-m", "greenbench", "export", runs, "--to", "codecarbon")
    assert exported.stdout.startswith("timestamp,project_name")
    budgets = tmp_path / "budgets.toml"
    budgets.write_text('[[budget]]\nmetric = "energy_total_j"\nceiling = 1e9\n', encoding="utf-8")
    assert run_in_core("-m", "greenbench", "check", runs, "--budgets", budgets).returncode == 0


@pytest.mark.slow
def test_the_core_meters_inside_tests(
    run_in_core: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    (tmp_path / "test_own.py").write_text(
        "import pytest\n"
        "@pytest.mark.energy_budget(joules=1e6, allow_modelled=True)\n"
        "def test_cheap(energy): sum(range(10**6))\n"
        "@pytest.mark.energy_budget(flops=1)\n"
        "def test_counted(energy): pass\n",
        encoding="utf-8",
    )
    done = run_in_core("-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider")
    assert done.returncode == 0, done.stdout
    assert "1 passed, 1 skipped" in done.stdout
    assert "flops cannot be counted: this needs torch; install it: pip install 'greenbench[bench]'" in done.stdout


@pytest.mark.slow
def test_a_meter_is_entered_soon_and_loads_no_torch(
    run_in_core: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    """By processor time, of this process and the sampler's: a busy neighbour makes neither longer."""
    code = (
        "import os, sys, time\nwall = time.perf_counter()\nimport greenbench\n"
        "with greenbench.Meter() as meter:\n"
        "    sampler = float(open(f'/proc/{meter._sampler.pid}/schedstat').read().split()[0]) / 1e9\n"
        "    print(time.perf_counter() - wall, time.process_time() + sampler, sep=' ')\n"
        "assert meter.joules() is not None\nassert 'torch' not in sys.modules\n"
    )
    tries = [run_in_core("-c", code) for _ in range(5)]
    assert all(done.returncode == 0 for done in tries), tries[0].stderr
    wall_s, cpu_s = (sorted(float(done.stdout.split()[i]) for done in tries) for i in (0, 1))
    print(
        f"\nentered after {wall_s[0]:.3f} to {wall_s[-1]:.3f} s, {cpu_s[0]:.3f} to {cpu_s[-1]:.3f} s of processor time"
    )
    assert cpu_s[0] < MOST_ENTER_CPU_S


@pytest.mark.slow
@pytest.mark.parametrize(
    "verb",
    [
        ("run",),
        ("report", ROOT / "tests" / "fixtures" / "run-schema-3"),
        ("cost", "hubert"),
        ("models", "--check", "eco"),
    ],
    ids=lambda verb: str(verb[0]),
)
def test_a_verb_of_the_bench_names_its_extra_in_one_line(
    run_in_core: Callable[..., subprocess.CompletedProcess[str]], verb: tuple[object, ...], tmp_path: Path
) -> None:
    done = run_in_core("-m", "greenbench", *verb)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "pip install 'greenbench[bench]'" in done.stderr
    assert not list(tmp_path.iterdir()), "nothing may be written before the refusal"
