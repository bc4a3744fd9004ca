"""Running average power limit (RAPL) counters of Intel and AMD CPUs, through Linux' powercap tree.

Package and DRAM domains are counted; DRAM lies outside the package. The platform domain (psys) contains the
packages, so it is recorded but only counted where there is no package. Core and uncore are parts of the package
and are not read. The MMIO tree mirrors the MSR tree and is skipped.
"""

from __future__ import annotations

import os
import re
import time
from dataclasses import dataclass
from pathlib import Path

from greenbench.power.samples import MEASURED, DeviceInfo, Sample
from greenbench.power.sources.base import NullSource, Source, read_promptly

ROOT_VARIABLE = "GREENBENCH_POWERCAP"
DEFAULT_ROOT = "/sys/class/powercap"
_DOMAIN = re.compile(r"^intel-rapl:\d+(?::\d+)?$")
_PLAUSIBLE_W = 2000.0


@dataclass(slots=True)
class _Domain:
    info: DeviceInfo
    path: str
    range_uj: int
    last_uj: int | None = None
    last_t_ns: int = 0
    total_uj: int = 0
    lost: bool = False


def root() -> Path:
    """The powercap tree: ``GREENBENCH_POWERCAP`` or ``/sys/class/powercap``."""
    return Path(os.environ.get(ROOT_VARIABLE) or DEFAULT_ROOT)


def find() -> Source:
    """The RAPL source, or a null source with the reason."""
    base = root()
    if not base.is_dir():
        return NullSource(
            "rapl",
            f"{base} does not exist: a virtual machine, a container whose runtime masks powercap, "
            "or the kernel module intel_rapl_common is not loaded",
        )
    folders = sorted(p for p in base.iterdir() if _DOMAIN.match(p.name))
    if not folders:
        return NullSource("rapl", f"{base} holds no intel-rapl domain: this CPU or virtual machine exposes none")
    domains, unreadable = _domains(folders)
    if not domains:
        return NullSource(
            "rapl",
            f"{unreadable[0]} cannot be read: root-only since Linux 5.10 (CVE-2020-8694); "
            f"allow it with: sudo chmod a+r {base}/intel-rapl*/energy_uj {base}/intel-rapl*/*/energy_uj",
        )
    return RaplSource(domains, unreadable)


def _read_text(path: Path) -> str:
    return path.read_text().strip()


def _domains(folders: list[Path]) -> tuple[list[_Domain], list[str]]:
    domains: list[_Domain] = []
    unreadable: list[str] = []
    seen: set[str] = set()
    for folder in folders:
        try:
            name = _read_text(folder / "name")
        except OSError:
            continue
        kind = name.split("-")[0]
        if kind not in ("package", "dram", "psys"):
            continue
        parent = folder.name.split(":")[1]
        label = f"{name}-{parent}" if kind == "dram" else name
        if label in seen:  # the same domain twice: mirrored trees must not be added up
            continue
        try:
            int(_read_text(folder / "energy_uj"))
            range_uj = int(_read_text(folder / "max_energy_range_uj"))
        except (OSError, ValueError):
            unreadable.append(str(folder / "energy_uj"))
            continue
        seen.add(label)
        info = DeviceInfo(
            device=label,
            source="rapl",
            kind=MEASURED,
            part={"package": "cpu", "dram": "dram", "psys": "platform"}[kind],
            has_counter=True,
            power_from="counter",
            wrap_j=range_uj * 1e-6,
            tolerance=0.05,
            tolerance_source="assumed; no vendor figure",
        )
        domains.append(_Domain(info, str(folder / "energy_uj"), range_uj))
    packages = any(d.info.part == "cpu" for d in domains)
    for domain in domains:
        if domain.info.part == "platform" and packages:
            domain.info.counted = False
            domain.info.notes.append("contains the packages: recorded, not added")
    return domains, unreadable


class RaplSource(Source):
    """Cumulative energy per domain, unwrapped by ``max_energy_range_uj``."""

    name = "rapl"
    min_period_s = 0.0

    def __init__(self, domains: list[_Domain], unreadable: list[str]) -> None:
        self.available = True
        self.reason = f"cannot read {', '.join(unreadable)}" if unreadable else ""
        self._domains = domains
        self._drop_mirrors()
        self.devices = [d.info for d in self._domains]

    def _drop_mirrors(self) -> None:
        # Some multi-die parts show one package's counter under several names.
        for _ in range(2):
            self.read()
        kept: list[_Domain] = []
        for domain in self._domains:
            twin = next((k for k in kept if k.info.part == domain.info.part and self._same(k, domain)), None)
            if twin is None:
                kept.append(domain)
            else:
                twin.info.notes.append(f"{domain.info.device} mirrors this counter and is not counted")
        self._domains = kept

    @staticmethod
    def _same(first: _Domain, second: _Domain) -> bool:
        if first.last_uj is None or first.last_uj != second.last_uj or first.last_uj == 0:
            return False
        return "-die-" in first.info.device + second.info.device

    def read(self) -> list[Sample]:
        """Read every domain; a failing one yields one sample with the event ``lost``."""
        return [sample for domain in self._domains if (sample := self._read_one(domain)) is not None]

    def _read_one(self, domain: _Domain) -> Sample | None:
        before = time.monotonic_ns()
        try:
            value, before, after = read_promptly(lambda: _microjoules(domain.path))
        except (OSError, ValueError):
            if domain.lost:
                return None
            domain.lost = True
            now = time.monotonic_ns()
            return Sample(now, now - before, domain.info.device, self.name, MEASURED, event="lost")
        domain.lost = False
        return self._sample(domain, before, after, value)

    def _sample(self, domain: _Domain, before_ns: int, after_ns: int, value_uj: int) -> Sample:
        now_ns = (before_ns + after_ns) // 2
        event = self._advance(domain, value_uj, now_ns)
        sample = Sample(now_ns, after_ns - before_ns, domain.info.device, self.name, MEASURED, event=event)
        sample.energy_j = domain.total_uj * 1e-6
        return sample

    @staticmethod
    def _advance(domain: _Domain, value: int, now_ns: int) -> str | None:
        event = None
        if domain.last_uj is not None:
            step = value - domain.last_uj
            if step < 0:
                step += domain.range_uj
                event = "wrap"
                seconds = max((now_ns - domain.last_t_ns) * 1e-9, 1e-3)
                # A counter that fell back without being near its end was reset, not wrapped.
                if step < 0 or step * 1e-6 / seconds > _PLAUSIBLE_W:
                    step, event = 0, "reset"
            domain.total_uj += step
        domain.last_uj, domain.last_t_ns = value, now_ns
        return event

    def close(self) -> None:
        """Nothing to release."""


def _microjoules(path: str) -> int:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return int(os.read(descriptor, 64))
    finally:
        os.close(descriptor)
