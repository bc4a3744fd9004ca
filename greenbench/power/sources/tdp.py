"""Thermal design power of this machine's CPU, from CodeCarbon's published table, as a range per hardware thread.

The table travels in the package (``data/build_tables.py``). It holds the package's TDP
but not its number of threads, so inside a virtual machine, where only some threads are visible, the share of
one thread is bounded by what CPUs on the market have.
"""

from __future__ import annotations

import csv
import os
import re
from dataclasses import dataclass
from pathlib import Path

from greenbench.resources import table

CPUINFO = Path("/proc/cpuinfo")
# CodeCarbon's own default for a CPU it does not know (codecarbon/core/cpu.py, DEFAULT_POWER_PER_CORE).
WATTS_PER_UNKNOWN_THREAD = 4.0
# Vendor specifications: EPYC 9965 500 W / 384 threads; EPYC 72F3 180 W / 16 threads.
WATTS_PER_THREAD_LOW = 1.3
WATTS_PER_THREAD_HIGH = 11.3
# TDP is a thermal limit, not consumption: sustained package power at full load lies below it for light code and
# above it where the platform allows turbo (AMD's package power limit is 1.35 x TDP on desktop sockets).
LOAD_LOW, LOAD_HIGH = 0.5, 1.5
# Idle package power as a share of TDP; CodeCarbon's curve starts at 0.1, servers idle higher.
IDLE_SHARE, IDLE_SHARE_LOW, IDLE_SHARE_HIGH = 0.1, 0.0, 0.3


@dataclass(frozen=True, slots=True)
class CpuPower:
    """Watts of one busy hardware thread, as a range, with the reasoning in ``reason``."""

    model: str
    threads: int
    per_thread_w: float
    per_thread_low_w: float
    per_thread_high_w: float
    reason: str


@dataclass(frozen=True, slots=True)
class Processor:
    """What the operating system says of the CPU; ``virtual`` where a hypervisor hides the rest of it."""

    model: str
    threads: int
    packages: int = 1
    virtual: bool = False


def this_processor(cpuinfo: Path = CPUINFO) -> Processor:
    """Read Linux's list of processors, or ask Python where there is none."""
    try:
        text = cpuinfo.read_text()
    except OSError:
        import platform

        return Processor(platform.processor() or platform.machine(), os.cpu_count() or 1)
    name = re.search(r"^(?:model name|Hardware|cpu model)\s*:\s*(.+)$", text, re.MULTILINE)
    return Processor(
        name.group(1).strip() if name else "unknown",
        len(re.findall(r"^processor\s*:", text, re.MULTILINE)) or os.cpu_count() or 1,
        max(1, len(set(re.findall(r"^physical id\s*:\s*(\d+)", text, re.MULTILINE)))),
        bool(re.search(r"^flags\s*:.*\bhypervisor\b", text, re.MULTILINE)),
    )


def _tokens(name: str) -> frozenset[str]:
    name = re.sub(
        r"\((?:r|tm)\)|@.*$|\bcpu\b|\bprocessor\b|\b\d+-core\b|\b\d+th gen\b|with radeon.*", " ", name.lower()
    )
    return frozenset(re.findall(r"[a-z0-9][a-z0-9+\-]*", name))


def lookup(model: str, file: Path) -> tuple[float, float, str] | None:
    """Find the TDP range of a CPU name in the table: ``(low_w, high_w, matched name)``; None if unknown.

    A match needs every token of the table's name in ``model`` and a token with a digit (a model number);
    the most specific name wins, and equally specific ones with different TDP give a range.
    """
    wanted = _tokens(model)
    best: list[tuple[str, float]] = []
    best_size = 0
    with file.open(encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream):
            name = row["Name"]
            # Cheap test first: tokenising five thousand names would cost more than the rest of the start.
            if not _MODEL_NUMBER.search(name) or not wanted.intersection(name.lower().split()):
                continue
            tokens = _tokens(name)
            if not tokens <= wanted or len(tokens) < max(2, best_size):
                continue
            if not any(any(c.isdigit() for c in token) for token in tokens):
                continue
            if len(tokens) > best_size:
                best, best_size = [], len(tokens)
            best.append((name, float(row["TDP"])))
    if not best:
        return None
    watts = [tdp for _, tdp in best]
    return min(watts), max(watts), best[0][0]


_MODEL_NUMBER = re.compile(r"\d")


def find(tdp_w: float | None = None, processor: Processor | None = None) -> CpuPower:
    """Work out the watts per hardware thread of a processor, by default this machine's.

    ``tdp_w`` is the user's figure for all packages; it wins over the table.
    """
    processor = processor or this_processor()
    model, threads = processor.model, processor.threads
    if tdp_w is not None:
        share = tdp_w / threads
        reason = f"TDP {tdp_w:g} W given by the user over {threads} threads"
        return CpuPower(model, threads, share, share * LOAD_LOW, share * LOAD_HIGH, reason)
    found = lookup(model, table("cpu_tdp.csv"))
    if found is None:
        reason = (
            f"CPU {model!r} is not in CodeCarbon's table: {WATTS_PER_UNKNOWN_THREAD:g} W per thread assumed, "
            f"{WATTS_PER_THREAD_LOW:g} to {WATTS_PER_THREAD_HIGH:g} W possible; give its TDP to narrow this"
        )
        return CpuPower(model, threads, WATTS_PER_UNKNOWN_THREAD, WATTS_PER_THREAD_LOW, WATTS_PER_THREAD_HIGH, reason)
    low, high, name = found
    packages = processor.packages
    share_low, share_high = low * packages / threads, high * packages / threads
    if processor.virtual and share_high > WATTS_PER_UNKNOWN_THREAD:
        per_thread = min(share_high, WATTS_PER_UNKNOWN_THREAD)
        reason = f"{name}: TDP {high:g} W, but a virtual machine sees only {threads} of its threads"
        top = min(share_high * LOAD_HIGH, WATTS_PER_THREAD_HIGH)
        return CpuPower(model, threads, per_thread, min(per_thread, WATTS_PER_THREAD_LOW), top, reason)
    reason = f"{name}: TDP {low:g}{f' to {high:g}' if high > low else ''} W x {packages} over {threads} threads"
    middle = (share_low + share_high) / 2
    return CpuPower(model, threads, middle, share_low * LOAD_LOW, share_high * LOAD_HIGH, reason)
