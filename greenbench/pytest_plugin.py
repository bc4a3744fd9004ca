"""Energy budgets in pytest: a marker, a fixture and a header line; without a sensor tests are skipped, not passed.

    @pytest.mark.energy_budget(joules=50, flops=2e9, peak_memory=200 * 2**20)
    def test_one_step(energy):
        train_one_step()

The plugin imports nothing heavy until a marked test runs.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from greenbench.metering.meter import Meter

_LIMITS = ("joules", "flops", "peak_memory")
_OPTIONS = ("allow_modelled", "allow_uncounted")
_REPORT: pytest.StashKey[list[str]] = pytest.StashKey()
_METER: pytest.StashKey[EnergyMeter] = pytest.StashKey()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    group = parser.getgroup("greenbench", "energy budgets (greenbench)")
    group.addoption(
        "--energy-allow-modelled",
        action="store_true",
        default=False,
        help="hold joule budgets against modelled energy where no sensor or counter is readable (default: skip)",
    )
    group.addoption(
        "--energy-sources",
        default="auto",
        metavar="NAMES",
        help="power sources to read, as in [power] sources (default: auto)",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker."""
    config.addinivalue_line(
        "markers",
        "energy_budget(joules=None, flops=None, peak_memory=None, allow_modelled=False, allow_uncounted=False): fail "
        "when the test spends more; joules from sensors, flops as greenbench cost counts them, peak_memory in bytes",
    )


def pytest_report_header(config: pytest.Config) -> str:
    """Say which power source is read, and whether it measures or models."""
    return f"greenbench: energy from {describe_sources(str(config.getoption('--energy-sources')))}"


def describe_sources(sources: str = "auto") -> str:
    """The power sources in words: ``"nvml (measured), cpu (modelled)"``."""
    from greenbench.errors import GreenbenchError
    from greenbench.power.sources.detect import detect

    try:
        opened = detect(sources)
    except (GreenbenchError, ValueError) as error:
        return f"no source ({error})"
    names = [f"{info.source} ({info.kind})" for source in opened if source.available for info in source.devices]
    for source in opened:
        source.close()
    return ", ".join(dict.fromkeys(names)) or "no source, so joule budgets are skipped"


class EnergyMeter:
    """What a test spent. Inside the test ``joules()`` is live; after it, figures are final.

    ``energy_j`` is None where nothing was readable, ``kind`` is ``measured``, ``modelled`` or ``mixed``; ``flops`` and
    ``peak_memory_bytes`` are None unless the marker asks for them. ``flops_unseen`` names work that ``flops`` lacks.
    """

    def __init__(
        self, *, sources: str = "auto", meter_energy: bool = True, count_flops: bool = False, track_memory: bool = False
    ) -> None:
        self._sources, self._meter_energy = sources, meter_energy
        self._count_flops, self._track_memory = count_flops, track_memory
        self._meter: Meter | None = None
        self.energy_j: float | None = None
        self.kind: str | None = None
        self.valid = False
        self.flops: float | None = None
        self.flops_unseen: list[str] = []
        self.peak_memory_bytes: int | None = None
        self.warnings: list[str] = []

    def joules(self) -> float | None:
        """The energy so far."""
        return self._meter.joules() if self._meter is not None else self.energy_j

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Meter the enclosed code."""
        memory = _PeakMemory() if self._track_memory else None
        with contextlib.ExitStack() as stack:
            if self._meter_energy:
                from greenbench.metering.meter import Meter

                self._meter = stack.enter_context(Meter(sources=self._sources))
            # Counting slows every operator down: a test that limits both pays for its counting in joules.
            if self._count_flops:
                stack.enter_context(_flop_counter(self))
            yield
        self.peak_memory_bytes = memory.read() if memory is not None else None
        if self._meter is None:
            return
        energy = self._meter.energy
        self.warnings = list(self._meter.warnings)
        self._meter = None
        if energy is not None:
            self.energy_j, self.kind, self.valid = energy.energy_j, energy.kind, energy.valid


@contextlib.contextmanager
def _flop_counter(meter: EnergyMeter) -> Iterator[None]:
    from greenbench.cost.whole_process import counting_block

    with counting_block() as block:
        yield
    meter.flops, meter.flops_unseen = block.flops, block.unseen


class _PeakMemory:
    """The highest memory since it was made: allocated on the GPU where one is in use, else resident in this process."""

    def __init__(self) -> None:
        self._cuda = _cuda()
        if self._cuda is not None:
            self._cuda.reset_peak_memory_stats()
            return
        with contextlib.suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")  # resets VmHWM to the current size
        from greenbench.metering.resident import resident_bytes

        self._start = resident_bytes("VmRSS")

    def read(self) -> int | None:
        """The growth of the peak above the size at the start, or the GPU's peak."""
        if self._cuda is not None:
            return int(self._cuda.max_memory_allocated())
        from greenbench.metering.resident import resident_bytes

        peak = resident_bytes("VmHWM")
        return None if peak is None or self._start is None else max(0, peak - self._start)


def _cuda() -> Any:
    import sys

    torch = sys.modules.get("torch")
    return torch.cuda if torch is not None and torch.cuda.is_available() and torch.cuda.is_initialized() else None


@pytest.fixture
def energy(request: pytest.FixtureRequest) -> EnergyMeter:
    """Give the running meter of a test; without an ``energy_budget`` marker it meters and limits nothing."""
    meter: EnergyMeter = request.node.stash[_METER]
    return meter


def _limits(item: pytest.Item) -> dict[str, Any] | None:
    marker = item.get_closest_marker("energy_budget")
    if marker is None:
        return {} if "energy" in getattr(item, "fixturenames", ()) else None
    unknown = sorted(set(marker.kwargs) - {*_LIMITS, *_OPTIONS})
    if marker.args or unknown:
        found = ", ".join([*map(repr, marker.args), *unknown])
        raise pytest.UsageError(
            f"{item.nodeid}: energy_budget takes {', '.join((*_LIMITS, *_OPTIONS))} by name, found {found}"
        )
    if not any(marker.kwargs.get(name) is not None for name in _LIMITS):
        raise pytest.UsageError(f"{item.nodeid}: energy_budget needs at least one of {', '.join(_LIMITS)}")
    return dict(marker.kwargs)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, Any]:
    """Meter a marked test and hold it against its budget."""
    limits = _limits(item)
    if limits is None:
        return (yield)
    _refuse_shared_device()
    sources = str(item.config.getoption("--energy-sources"))
    funcargs = getattr(item, "funcargs", {})
    meter = EnergyMeter(
        sources=sources,
        meter_energy="energy" in funcargs or limits.get("joules") is not None,
        count_flops=limits.get("flops") is not None,
        track_memory=limits.get("peak_memory") is not None,
    )
    if limits.get("flops") is not None:
        _needs_torch()
    item.stash[_METER] = meter
    if "energy" in funcargs:
        funcargs["energy"] = meter
    allowed = bool(limits.get("allow_modelled") or item.config.getoption("--energy-allow-modelled"))
    with meter.running():
        result = yield
    _judge(item, meter, limits, allowed=allowed)
    return result


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Put a meter in place before fixtures are made."""
    if _limits(item) is not None:
        item.stash[_METER] = EnergyMeter()


def _refuse_shared_device() -> None:
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    if workers > 1 and os.environ.get("PYTEST_XDIST_WORKER"):
        pytest.fail(
            f"{workers} xdist workers share this machine's power sensors, so one test would pay for another; "
            "run tests with an energy budget without -n (for example: pytest -m energy_budget -n 0)",
            pytrace=False,
        )


def _judge(item: pytest.Item, meter: EnergyMeter, limits: dict[str, Any], *, allowed: bool) -> None:
    from greenbench.units import format_bytes, format_si

    checks: tuple[tuple[str, float | None, Callable[[float], str]], ...] = (
        ("flops", meter.flops, lambda v: format_si(v, "FLOP")),
        ("peak_memory", meter.peak_memory_bytes, format_bytes),
        ("joules", meter.energy_j, lambda v: format_si(v, "J")),
    )
    for name, value in (
        ("energy_j", meter.energy_j),
        ("energy_kind", meter.kind),
        ("flops", meter.flops),
        ("peak_memory_bytes", meter.peak_memory_bytes),
    ):
        if value is not None:
            item.user_properties.append((name, value))
    for name, value, show in checks:
        limit = limits.get(name)
        if limit is None:
            continue
        if name == "joules":
            _needs_sensor(meter, allowed=allowed)
        if value is None:
            pytest.skip(f"{name} cannot be read on this system")
        if value > limit:
            kind = f" ({meter.kind})" if name == "joules" else ""
            pytest.fail(f"{name}: {show(value)}{kind} exceeds the budget of {show(limit)}", pytrace=False)
    if limits.get("flops") is not None and meter.flops_unseen and not limits.get("allow_uncounted"):
        pytest.skip(
            f"flops: {format_si(meter.flops, 'FLOP')} counted, but not {'; '.join(meter.flops_unseen)}; "
            "allow_uncounted=True in the marker goes by what was counted"
        )


def _needs_torch() -> None:
    from greenbench.errors import ConfigError
    from greenbench.extras import require

    try:
        require("this", ["torch"])
    except ConfigError as error:
        pytest.skip(f"flops cannot be counted: {error}")


def _needs_sensor(meter: EnergyMeter, *, allowed: bool) -> None:
    if meter.energy_j is None:
        reason = "; ".join(meter.warnings) or "greenbench doctor says why"
        pytest.skip(f"no power source is readable here ({reason})")
    if meter.kind != "measured" and not allowed:
        pytest.skip(
            f"energy is {meter.kind}, not measured, on this machine; allow it with --energy-allow-modelled or "
            "allow_modelled=True"
        )
    if not meter.valid:
        pytest.skip(f"the energy figure is not valid ({'; '.join(meter.warnings) or 'no reason recorded'})")
