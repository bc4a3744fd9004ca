"""``greenbench measure -- CMD``: meter any command with its children and the GPUs, and stop it at a budget."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from greenbench.carbon import Factor, emissions_g, factor_for
from greenbench.errors import ConfigError, did_you_mean
from greenbench.power.live import LiveReader
from greenbench.power.sampler_process import SamplerProcess
from greenbench.units import format_bytes, format_duration, format_si

if TYPE_CHECKING:
    from greenbench.power.trace import WindowEnergy

BUDGETS = ("joules", "seconds", "grams_co2e")
_POLL_S = 0.02
_GRACE_S = 5.0


@dataclass
class _Outcome:
    exit_code: int
    begin_ns: int
    end_ns: int
    cpu_s: float
    peak_memory_bytes: int | None
    stopped: bool


def parse_budget(text: str) -> tuple[str, float]:
    """Parse ``joules=500``, ``seconds=60`` or ``grams_co2e=1.5``.

    Raises:
        ConfigError: an unknown currency or a limit that is not a positive number.
    """
    kind, _, limit = text.partition("=")
    if kind not in BUDGETS:
        raise ConfigError(f"--budget {text}: unknown currency {kind!r}{did_you_mean(kind, BUDGETS)}")
    try:
        value = float(limit)
    except ValueError:
        value = float("nan")
    if not 0 < value < float("inf"):
        raise ConfigError(f"--budget {text}: the limit must be a positive number, as in {kind}=500")
    return kind, value


def measure_command(
    argv: Sequence[str],
    *,
    budget: tuple[str, float] | None = None,
    hz: float = 20.0,
    sources: str = "auto",
    devices: Sequence[str] | None = None,
    tdp_w: float | None = None,
    region: str | None = None,
    intensity_g_per_kwh: float | None = None,
    journal: Path | str | None = None,
) -> dict[str, Any]:
    """Run a command and return what it cost (the keys of ``measure --json``).

    Args:
        argv: the command and its arguments; its standard streams are inherited.
        budget: ``(currency, limit)`` with a currency of ``BUDGETS``; the command gets SIGTERM at the limit and
            SIGKILL five seconds later.
        region, intensity_g_per_kwh: see ``greenbench.carbon.factor_for``; without either there is no CO2 figure.
        journal: where to keep the raw readings; default: nowhere.
        hz, sources, devices, tdp_w: see ``SamplerProcess``.

    Raises:
        ConfigError: an empty command, an unknown region or source, or a carbon budget without a region.
    """
    if not argv:
        raise ConfigError("measure: no command given; write it after --, as in: greenbench measure -- python train.py")
    from greenbench.power.sources import parse_names

    parse_names(sources)
    factor = factor_for(region, intensity_g_per_kwh)
    if budget is not None and budget[0] == "grams_co2e" and factor is None:
        raise ConfigError("measure: a budget in grams of CO2e needs --region or a grid intensity")
    with _folder() as folder:
        sampler = SamplerProcess(
            Path(journal) if journal else folder / "power.csv.gz",
            folder / "live.bin",
            hz=hz,
            sources=sources,
            devices=devices,
            tdp_w=tdp_w,
        )
        with sampler:
            outcome = _run(argv, sampler, budget, factor)
        window = _energy(sampler, outcome)
    return _result(argv, outcome, window, sampler, factor, budget)


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="greenbench-measure-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _run(
    argv: Sequence[str], sampler: SamplerProcess, budget: tuple[str, float] | None, factor: Factor | None
) -> _Outcome:
    live = None
    with contextlib.suppress(OSError, ValueError):
        live = LiveReader(sampler.live)
    begin_ns = time.monotonic_ns()
    sampler.edge()
    try:
        process = subprocess.Popen(list(argv))
    except FileNotFoundError as error:
        raise ConfigError(f"measure: no command {argv[0]!r}: {error.strerror}") from error
    except OSError as error:
        raise ConfigError(f"measure: {argv[0]!r} cannot be started: {error.strerror}") from error
    sampler.watch(process.pid)
    guard = _Guard(live, budget, factor, begin_ns)
    with _signals_to(process):
        status, usage, stopped = _wait(process, guard)
    end_ns = time.monotonic_ns()
    sampler.edge()
    process.returncode = os.waitstatus_to_exitcode(status)
    sampler.ended(process.pid, usage.ru_utime + usage.ru_stime)
    sampler.flush()
    if live is not None:
        live.close()
    code = process.returncode if process.returncode >= 0 else 128 - process.returncode
    peak = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return _Outcome(code, begin_ns, end_ns, usage.ru_utime + usage.ru_stime, peak or None, stopped)


class _Guard:
    """Says when the budget is spent."""

    def __init__(
        self, live: LiveReader | None, budget: tuple[str, float] | None, factor: Factor | None, begin_ns: int
    ) -> None:
        self.live, self.budget, self.factor, self.begin_ns = live, budget, factor, begin_ns
        self.start_j = (live.read().energy_j if live else None) or 0.0

    def spent(self) -> float | None:
        """Spent so far in the budget's currency; None where it cannot be known."""
        if self.budget is None:
            return None
        if self.budget[0] == "seconds":
            return (time.monotonic_ns() - self.begin_ns) * 1e-9
        energy_j = self.live.read().energy_j if self.live else None
        if energy_j is None:
            return None
        energy_j -= self.start_j
        return energy_j if self.budget[0] == "joules" or self.factor is None else emissions_g(energy_j, self.factor)[0]

    def over(self) -> bool:
        """Whether the limit is reached."""
        spent = self.spent()
        return self.budget is not None and spent is not None and spent >= self.budget[1]


def _wait(process: subprocess.Popen[bytes], guard: _Guard) -> tuple[int, Any, bool]:
    stopped, kill_at = False, float("inf")
    while True:
        pid, status, usage = os.wait4(process.pid, os.WNOHANG)
        if pid:
            return status, usage, stopped
        if not stopped and guard.over():
            stopped, kill_at = True, time.monotonic() + _GRACE_S
            _signal_tree(process.pid, signal.SIGTERM)
        if time.monotonic() > kill_at:
            kill_at = float("inf")
            _signal_tree(process.pid, signal.SIGKILL)
        time.sleep(_POLL_S)


def _signal_tree(pid: int, number: int) -> None:
    import psutil

    with contextlib.suppress(psutil.Error):
        root = psutil.Process(pid)
        for process in [*root.children(recursive=True), root]:
            with contextlib.suppress(psutil.Error):
                process.send_signal(number)


@contextlib.contextmanager
def _signals_to(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Leave Ctrl-C to the command (it gets its own) and pass SIGTERM on to it."""
    try:
        interrupt = signal.signal(signal.SIGINT, signal.SIG_IGN)
        terminate = signal.signal(signal.SIGTERM, lambda *_: _signal_tree(process.pid, signal.SIGTERM))
    except ValueError:  # not the main thread: signals are somebody else's
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, interrupt)
        signal.signal(signal.SIGTERM, terminate)


def _energy(sampler: SamplerProcess, outcome: _Outcome) -> WindowEnergy | None:
    from greenbench.power.trace import read_journal

    try:
        return read_journal(sampler.journal).window(outcome.begin_ns, outcome.end_ns)
    except OSError as error:
        sampler.warnings.append(f"the journal cannot be read: {error}")
        return None


def _result(
    argv: Sequence[str],
    outcome: _Outcome,
    window: WindowEnergy | None,
    sampler: SamplerProcess,
    factor: Factor | None,
    budget: tuple[str, float] | None,
) -> dict[str, Any]:
    warnings = list(sampler.warnings)
    if window is not None:
        warnings.extend(problem for problem in window.problems if problem not in warnings)
    energy_j = window.energy_j if window else None
    if factor is None and energy_j is not None:
        warnings.append("no emissions: give --region (FRA, USA-CA, aws:eu-west-3) or a grid intensity")
    if budget is not None and budget[0] != "seconds" and energy_j is None:
        warnings.append(f"the budget of {budget[1]:g} {budget[0]} could not be enforced: no energy is recorded")
    grams = emissions_g(energy_j, factor) if energy_j is not None and factor is not None else (None, None, None)
    return {
        "command": list(argv),
        "exit_code": outcome.exit_code,
        "duration_s": (outcome.end_ns - outcome.begin_ns) * 1e-9,
        "cpu_s": outcome.cpu_s,
        "energy_j": energy_j,
        "energy_low_j": window.energy_low_j if window else None,
        "energy_high_j": window.energy_high_j if window else None,
        "energy_uncertainty_j": window.uncertainty_j if window else None,
        "energy_source": window.kind if window else None,
        "mean_power_w": window.mean_power_w if window else None,
        "valid": window.valid if window else False,
        "devices": [_device(d) for d in window.devices] if window else [],
        "peak_memory_bytes": outcome.peak_memory_bytes,
        "co2e_g": grams[0],
        "co2e_low_g": grams[1],
        "co2e_high_g": grams[2],
        "carbon": factor.to_dict() if factor else None,
        "warnings": warnings,
        "stopped_by_budget": outcome.stopped,
        "budget": {"kind": budget[0], "limit": budget[1]} if budget else None,
        "sampler_cpu_s": sampler.cpu_s,
    }


def _device(device: Any) -> dict[str, Any]:
    keys = (
        "name", "kind", "source", "energy_j", "energy_low_j", "energy_high_j", "counter_j", "integral_j", "ratio",
        "agree", "uncertainty_j", "edge_j", "samples", "mean_power_w", "temperature_start_c", "temperature_end_c",
        "counted", "shared",
    )  # fmt: skip
    values = {key: getattr(device, key) for key in keys}
    return {**values, "warnings": [*device.spoiled, *device.warnings]}


def print_table(result: dict[str, Any]) -> None:
    """Print a measurement for people, to standard output; warnings go to standard error."""
    kind = result["energy_source"]
    energy = format_si(result["energy_j"], "J")
    rows = [
        ("time", format_duration(result["duration_s"])),
        ("energy", f"{energy}  ({kind})" if energy else "not recorded"),
    ]
    if energy:
        low, high = format_si(result["energy_low_j"], "J"), format_si(result["energy_high_j"], "J")
        rows += [("  range", f"{low} to {high}"), ("mean power", format_si(result["mean_power_w"], "W"))]
    for device in result["devices"]:
        mark = "" if device["counted"] else ", not added"
        text = f"{format_si(device['energy_j'], 'J')}  ({device['kind']}, {device['source']}{mark})"
        if device["ratio"] is not None:
            text += f"  counter/integral {device['ratio']:.3f}"
        rows.append((f"  {device['name']}", text))
    rows.append(("peak memory", format_bytes(result["peak_memory_bytes"])))
    if result["co2e_g"] is not None:
        low, high = format_si(result["co2e_low_g"], "g"), format_si(result["co2e_high_g"], "g")
        rows.append(("emissions", f"{format_si(result['co2e_g'], 'g')} CO2e  ({low} to {high})"))
    rows.append(
        ("exit code", f"{result['exit_code']}{' (stopped by the budget)' if result['stopped_by_budget'] else ''}")
    )
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        print(f"{name:<{width}}  {value}".rstrip())
    for warning in result["warnings"]:
        print(f"warning: {warning}", file=sys.stderr)


def main(argv: list[str] | None = None) -> int:
    """``python -m greenbench.power.measure [--budget joules=500] [--json] -- CMD...``."""
    import argparse
    import json

    parser = argparse.ArgumentParser(prog="greenbench.power.measure")
    parser.add_argument("--budget")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--hz", type=float, default=20.0)
    parser.add_argument("--sources", default="auto")
    parser.add_argument("--region")
    parser.add_argument("--tdp-w", type=float)
    parser.add_argument("--journal", type=Path)
    parser.add_argument("command", nargs=argparse.REMAINDER)
    options = parser.parse_args(argv)
    command = options.command[1:] if options.command[:1] == ["--"] else options.command
    try:
        result = measure_command(
            command,
            budget=parse_budget(options.budget) if options.budget else None,
            hz=options.hz,
            sources=options.sources,
            tdp_w=options.tdp_w,
            region=options.region,
            journal=options.journal,
        )
    except ConfigError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    if options.json:
        print(json.dumps(result, indent=2))
    else:
        print_table(result)
    return int(result["exit_code"])


if __name__ == "__main__":
    sys.exit(main())
