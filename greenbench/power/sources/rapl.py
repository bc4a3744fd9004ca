"""Running average power limit (RAPL) counters of Intel and AMD CPUs, through Linux' powercap tree.

Package and DRAM domains are counted; DRAM lies outside the package. The platform domain (psys) contains the
packages, so it is recorded but only counted where there is no package. Core and uncore are parts of the package
and are not read. The MMIO tree mirrors the MSR tree and is skipped. A domain that is there and cannot be read, and a
package that the kernel knows and the tree lacks, are devices without readings: a total without them is not complete.
"""

from __future__ import annotations

import os
import re
import time
from dataclasses import dataclass
from pathlib import Path

from greenbench.power.plausible import most_j
from greenbench.power.samples import MEASURED, DeviceInfo, Sample
from greenbench.power.sources.base import NullSource, Source, read_promptly
from greenbench.power.sources.tdp import Processor, this_processor

ROOT_VARIABLE = "GREENBENCH_POWERCAP"
DEFAULT_ROOT = "/sys/class/powercap"
_DOMAIN = re.compile(r"^intel-rapl:\d+(?::\d+)?$")
_PARTS = {"package": "cpu", "dram": "dram", "psys": "platform"}
# For a moment, and over the few milliseconds between two readings, a package may exceed what it is limited to.
_OVER_LIMIT = 4.0
_LIMITS_W = (200.0, 2000.0)
_MIRROR_READS = 3


@dataclass(slots=True)
class _Domain:
    info: DeviceInfo
    path: str
    range_uj: int | None
    last_uj: int | None = None
    last_t_ns: int = 0
    total_uj: int = 0
    lost: bool = False


def root() -> Path:
    """The powercap tree: ``GREENBENCH_POWERCAP`` or ``/sys/class/powercap``."""
    return Path(os.environ.get(ROOT_VARIABLE) or DEFAULT_ROOT)


def find(processor: Processor | None = None) -> Source:
    """The RAPL source, or a null source with the reason.

    ``processor`` says how many packages there must be; default: this machine's, unless the tree is another one.
    """
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
    domains, missing = _domains(folders)
    if not domains:
        reason = missing[0].missing if missing else f"{base} holds neither a package nor a dram nor a psys domain"
        return NullSource("rapl", reason)
    if processor is None and str(base) == DEFAULT_ROOT:
        processor = this_processor()
    missing += _hidden_packages(domains, missing, processor)
    return RaplSource(domains, missing)


def _read_text(path: Path) -> str:
    return path.read_text().strip()


def _domains(folders: list[Path]) -> tuple[list[_Domain], list[DeviceInfo]]:
    """The domains that can be read, and as devices without readings those that cannot."""
    domains: list[_Domain] = []
    missing: list[DeviceInfo] = []
    labels: set[str] = set()
    for folder in folders:
        try:
            name = _read_text(folder / "name")
        except OSError:
            name = "package" if folder.name.count(":") == 1 else "unnamed"
        kind = name.split("-")[0]
        if kind not in _PARTS:
            continue
        parent = folder.name.split(":")[1]
        label = f"{name}-{parent}" if kind == "dram" else name
        label = f"{label} ({folder.name})" if label in labels else label
        labels.add(label)
        info = _info(label, _PARTS[kind], folder)
        try:
            int(_read_text(folder / "energy_uj"))
        except (OSError, ValueError):
            info.missing = _unreadable(folder)
            missing.append(info)
            continue
        range_uj = _microwatts(folder / "max_energy_range_uj")
        info.wrap_j = None if range_uj is None else range_uj * 1e-6
        domains.append(_Domain(info, str(folder / "energy_uj"), range_uj))
    _count_once([*(d.info for d in domains), *missing])
    return domains, missing


def _info(label: str, part: str, folder: Path) -> DeviceInfo:
    info = DeviceInfo(label, "rapl", MEASURED, part, has_counter=True, power_from="counter")
    info.tolerance, info.tolerance_source = 0.05, "assumed; no vendor figure"
    limits_uw = [_microwatts(path) for path in folder.glob("constraint_*_*power*_uw")]
    limits_w = [uw * 1e-6 for uw in limits_uw if uw is not None and 0 < uw * 1e-6 < _LIMITS_W[1]]
    if limits_w and part == "cpu":
        info.limit_w = min(max(_OVER_LIMIT * max(limits_w), _LIMITS_W[0]), _LIMITS_W[1])
    return info


def _microwatts(path: Path) -> int | None:
    try:
        return int(_read_text(path))
    except (OSError, ValueError):
        return None


def _unreadable(folder: Path) -> str:
    base = folder.parent
    return (
        f"{folder / 'energy_uj'} cannot be read: root-only since Linux 5.10 (CVE-2020-8694); "
        f"allow it with: sudo chmod a+r {base}/intel-rapl*/energy_uj {base}/intel-rapl*/*/energy_uj"
    )


def _count_once(infos: list[DeviceInfo]) -> None:
    packages = any(info.part == "cpu" for info in infos)
    for info in infos:
        if info.part == "platform" and packages:
            info.counted = False
            info.notes.append("contains the packages: recorded, not added")


def _hidden_packages(
    domains: list[_Domain], missing: list[DeviceInfo], processor: Processor | None
) -> list[DeviceInfo]:
    """Packages that the kernel counts and the tree does not hold; a virtual machine's sockets are no packages."""
    if processor is None or processor.virtual:
        return []
    infos = [*(d.info for d in domains), *missing]
    packages = {info.device.split("-die-")[0] for info in infos if info.part == "cpu"}
    if not packages or len(packages) >= processor.packages:
        return []
    why = f"the kernel lists {processor.packages} packages, the powercap tree {len(packages)}"
    remedy = "a container's runtime may hide one: mount the host's /sys/class/powercap"
    hidden = processor.packages - len(packages)
    return [
        DeviceInfo(f"package-hidden-{i}", "rapl", MEASURED, "cpu", missing=f"{why}; {remedy}") for i in range(hidden)
    ]


class RaplSource(Source):
    """Cumulative energy per domain, unwrapped by ``max_energy_range_uj``."""

    name = "rapl"
    min_period_s = 0.0

    def __init__(self, domains: list[_Domain], missing: list[DeviceInfo]) -> None:
        self.available = True
        self.reason = ""
        self._domains = domains
        self._drop_mirrors()
        self.devices = [*(d.info for d in self._domains), *missing]

    def _drop_mirrors(self) -> None:
        """One counter under two names is counted once: some multi-die parts and some kernels show it so."""
        readings: list[list[int | None]] = []
        for _ in range(_MIRROR_READS):
            self.read()
            readings.append([domain.last_uj for domain in self._domains])
        kept: list[int] = []
        for i, domain in enumerate(self._domains):
            same = [k for k in kept if any(row[i] == row[k] and row[i] for row in readings)]
            twin = next((k for k in same if self._domains[k].info.part == domain.info.part), None)
            if twin is None:
                kept.append(i)
            else:
                self._domains[twin].info.notes.append(f"{domain.info.device} mirrors this counter and is not counted")
        self._domains = [self._domains[i] for i in kept]

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
        """Add a step. A fall is a wrap where the device can have drawn that much, else the counter began anew.

        A rise that it cannot have drawn stays in: whoever reads the counter takes it out, and says so.
        """
        event = None
        if domain.last_uj is not None:
            step = value - domain.last_uj
            if step < 0:
                wrapped = step + (domain.range_uj or 0)
                possible = 0 <= wrapped * 1e-6 <= most_j(domain.info, (now_ns - domain.last_t_ns) * 1e-9)
                step, event = (wrapped, "wrap") if possible else (0, "reset")
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
