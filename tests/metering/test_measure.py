from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from greenbench.config import CarbonSection
from greenbench.errors import ConfigError
from greenbench.metering.command import measure_command, parse_budget, peak_bytes, print_table
from greenbench.power.sources.options import Sampling

PYTHON = sys.executable
NO_SOURCE = Sampling(sources="none")
KEYS = {
    "exit_code",
    "duration_s",
    "energy_j",
    "energy_low_j",
    "energy_high_j",
    "energy_source",
    "devices",
    "peak_memory_bytes",
    "co2e_g",
    "warnings",
    "stopped_by_budget",
}
DEVICE_KEYS = {"name", "kind", "source", "energy_j", "counter_j", "integral_j", "samples", "warnings"}
BUSY = "import time\nt = time.process_time()\nwhile time.process_time() - t < 0.5: pass\n"


def test_without_a_sensor_joules_are_modelled_with_a_range() -> None:
    result = measure_command([PYTHON, "-c", BUSY + "import sys; sys.exit(7)"])
    assert set(result) >= KEYS
    assert all(set(device) >= DEVICE_KEYS for device in result["devices"])
    assert result["exit_code"] == 7
    assert result["energy_source"] == "modelled"
    assert 0 < result["energy_low_j"] < result["energy_j"] < result["energy_high_j"]
    assert result["co2e_g"] is None
    assert any("region" in w for w in result["warnings"])
    assert any("modelled" in w for w in result["warnings"])
    json.dumps(result)


def test_without_any_source_energy_is_null_and_the_reason_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    result = measure_command([PYTHON, "-c", "pass"], sampling=Sampling(sources="nvml,rapl"))
    for key in ("energy_j", "energy_low_j", "energy_high_j", "energy_source", "co2e_g", "mean_power_w"):
        assert result[key] is None
    print_table(result)
    out = capsys.readouterr()
    assert "not recorded" in out.out
    assert "powercap" in out.err
    assert " 0 J" not in out.out


def test_emissions_carry_factor_and_range() -> None:
    result = measure_command([PYTHON, "-c", BUSY], carbon=CarbonSection(region="FRA"))
    assert 0 < result["co2e_low_g"] < result["co2e_g"] < result["co2e_high_g"]
    assert result["carbon"]["region"] == "FRA"
    assert result["co2e_g"] == pytest.approx(result["energy_j"] / 3.6e6 * result["carbon"]["g_per_kwh"])


def test_a_killed_command_gives_the_shells_code() -> None:
    result = measure_command([PYTHON, "-c", "import os; os.kill(os.getpid(), 9)"], sampling=NO_SOURCE)
    assert result["exit_code"] == 137


def test_children_are_metered_too() -> None:
    child = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {BUSY!r}])\n"
    alone = measure_command([PYTHON, "-c", "pass"], sampling=Sampling(sources="cpu"))
    family = measure_command([PYTHON, "-c", child], sampling=Sampling(sources="cpu"))
    assert family["cpu_s"] > 0.45
    assert family["energy_j"] > 2 * alone["energy_j"]


def test_a_budget_in_seconds_stops_even_a_command_that_ignores_sigterm() -> None:
    stubborn = "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\ntime.sleep(60)"
    result = measure_command([PYTHON, "-c", stubborn], budget=("seconds", 0.5), grace_s=0.3, sampling=NO_SOURCE)
    assert result["stopped_by_budget"] is True
    assert result["exit_code"] == 137
    assert result["duration_s"] < 10


def test_a_command_inside_its_budget_is_left_alone() -> None:
    result = measure_command([PYTHON, "-c", "pass"], budget=("joules", 1e6))
    assert (result["stopped_by_budget"], result["exit_code"]) == (False, 0)


def test_a_budget_that_cannot_be_enforced_says_so() -> None:
    result = measure_command([PYTHON, "-c", "pass"], budget=("joules", 5), sampling=NO_SOURCE)
    assert any("could not be enforced" in w for w in result["warnings"])


@pytest.mark.parametrize("text", ["joules", "joules=", "joules=-3", "joules=nan", "joules=inf", "watts=3", "=3", ""])
def test_a_wrong_budget_is_named(text: str) -> None:
    with pytest.raises(ConfigError, match="--budget"):
        parse_budget(text)


def test_a_right_budget_is_parsed() -> None:
    assert parse_budget("joules=500") == ("joules", 500.0)
    assert parse_budget("grams_co2e=1.5") == ("grams_co2e", 1.5)


def test_usage_errors_are_one_line() -> None:
    for argv, options, words in [
        ([], {}, "no command"),
        (["no-such-command-here"], {}, "no-such-command-here"),
        (["true"], {"sampling": Sampling(sources="nvlm")}, "did you mean 'nvml'"),
        (["true"], {"carbon": CarbonSection(region="FRX")}, "FRA"),
        (["true"], {"budget": ("grams_co2e", 1.0)}, "--region"),
    ]:
        with pytest.raises(ConfigError, match=words) as caught:
            measure_command(argv, **options)
        assert "\n" not in str(caught.value)


def test_sigterm_is_passed_on_and_the_measurement_still_printed() -> None:
    command = [PYTHON, "-m", "greenbench", "measure", "--json", "--sources", "cpu", "--", PYTHON, "-c"]
    script = (
        "import signal, sys, time\nsignal.signal(signal.SIGTERM, lambda *_: sys.exit(5))\n"
        "print(1, file=sys.stderr, flush=True)\ntime.sleep(60)"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd())}
    process = subprocess.Popen(
        [*command, script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )
    assert process.stderr.readline() == "1\n"
    time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate()
    assert process.returncode == 5
    assert json.loads(out)["exit_code"] == 5


def test_the_journal_can_be_kept_and_read_again(tmp_path: Path) -> None:
    from greenbench.power.journal.trace import read_journal

    path = tmp_path / "kept" / "power.csv.gz"
    result = measure_command([PYTHON, "-c", BUSY], journal=path, sampling=Sampling(sources="cpu"))
    # The journal also holds what lies before and after the command, which lasts as long as the machine is busy.
    kept_j = read_journal(path).total().energy_j
    assert kept_j is not None
    assert kept_j >= 0.99 * result["energy_j"] > 0


@pytest.mark.skipif(sys.platform != "linux", reason="other systems start a command's peak memory at nothing")
def test_peak_memory_is_the_commands_and_not_the_larger_one_of_who_started_it() -> None:
    ballast = b"x" * 200_000_000
    small = measure_command(["sleep", "0.5"], sampling=NO_SOURCE)["peak_memory_bytes"]
    large = measure_command([PYTHON, "-c", "x = b'x' * 60_000_000; import time; time.sleep(0.5)"], sampling=NO_SOURCE)
    assert len(ballast) == 200_000_000
    assert small < 20_000_000
    assert 60_000_000 < large["peak_memory_bytes"] < 120_000_000


@pytest.mark.skipif(sys.platform != "linux", reason="other systems start a command's peak memory at nothing")
def test_a_peak_a_few_pages_above_the_starters_is_still_the_starters() -> None:
    """The kernel counts pages by processor: what it hands on is now and then above what it tells the starter."""
    starter_kib, command = 987_000, 2_000_000
    assert peak_bytes(starter_kib + 112, starter_kib * 1024, command) == command
    assert peak_bytes(2 * starter_kib, starter_kib * 1024, command) == 2 * starter_kib * 1024
