"""The live cell: a tiny memory map with the energy so far, written by the sampler and read inside the trainer.

A reader costs a few microseconds and needs no thread. The cell carries a checksum, so a read that falls into
a write is seen and repeated.
"""

from __future__ import annotations

import math
import mmap
import os
import struct
import time
from dataclasses import dataclass, replace
from pathlib import Path

from greenbench.power.energy import mix_kinds
from greenbench.power.samples import MEASURED, MIXED, MODELLED

_CELL = struct.Struct("=8sqqqddddq")  # magic, sequence, t_mono_ns, kind, energy, low, high, power, sum of these words
_WORDS = struct.Struct("=9q")
_SUM_MASK = 2**63 - 1
_MAGIC = b"gbLIVE02"
_KINDS = {0: None, 1: MEASURED, 2: MODELLED, 3: MIXED}
_CODES = {kind: code for code, kind in _KINDS.items()}
_NOT_WORKING = 8  # beside the code of the kind
CELL_BYTES = 128
STALE_AFTER_S = 2.0


@dataclass(frozen=True, slots=True)
class LiveState:
    """What the sampler publishes: joules, watts, their kind and range; None before the first reading.

    ``working`` is False while a counted device says nothing that can be true: then the joules are not all there are.
    """

    energy_j: float | None = None
    power_w: float | None = None
    kind: str | None = None
    low_j: float | None = None
    high_j: float | None = None
    working: bool = False


@dataclass(frozen=True, slots=True)
class LiveReading:
    """Energy since the sampler started, extrapolated to ``t_mono_ns``; ``None`` where there is no source.

    ``age_s`` is the age of the sampler's last update; ``stale`` means that it has stopped updating and the energy is
    extrapolated from its last power. ``working`` is False where it is stale, or a sensor says nothing that can be true:
    such a figure must not decide anything.
    """

    t_mono_ns: int
    energy_j: float | None
    power_w: float | None
    kind: str | None
    energy_low_j: float | None = None
    energy_high_j: float | None = None
    age_s: float = 0.0
    stale: bool = False
    working: bool = True


class LiveWriter:
    """The sampler's side."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            os.ftruncate(descriptor, CELL_BYTES)
            if hasattr(os, "posix_fallocate"):  # on a full disk, writing through the map would be a SIGBUS
                os.posix_fallocate(descriptor, 0, CELL_BYTES)
            self._map = mmap.mmap(descriptor, CELL_BYTES)
        finally:
            os.close(descriptor)
        self._cell = bytearray(_CELL.size)
        self._cell[: len(_MAGIC)] = _MAGIC
        # Two views in place of packing and a CRC, whose code and table are out of the caches at every write.
        self._words = memoryview(self._cell).cast("q")
        self._numbers = memoryview(self._cell).cast("d")
        self._summed = self._words[:8]
        self._sequence = 0
        self._base: LiveReading | None = None

    def go_on_from(self, last: LiveReading) -> None:
        """Count on from what a sampler that has died had published, extrapolated to now: a reader must not go back."""
        self._base = last if last.energy_j is not None else None

    def write(self, t_mono_ns: int, state: LiveState) -> None:
        """Publish one state."""
        if self._base is not None:
            state = _after(self._base, state)
        self._sequence += 1
        words, numbers = self._words, self._numbers
        words[1] = self._sequence
        words[2] = t_mono_ns
        words[3] = _CODES[state.kind] | (0 if state.working else _NOT_WORKING)
        numbers[4] = math.nan if state.energy_j is None else state.energy_j
        numbers[5] = math.nan if state.low_j is None else state.low_j
        numbers[6] = math.nan if state.high_j is None else state.high_j
        numbers[7] = math.nan if state.power_w is None else state.power_w
        words[8] = sum(self._summed) & _SUM_MASK
        self._map[: _CELL.size] = self._cell

    def close(self) -> None:
        """Release the map; the file stays."""
        self._map.close()


def _after(base: LiveReading, state: LiveState) -> LiveState:
    """A state of the sampler that was started anew, with what was published before; the time between is modelled."""
    before_j = base.energy_j or 0.0
    return replace(
        state,
        energy_j=before_j + (state.energy_j or 0.0),
        low_j=(before_j if base.energy_low_j is None else base.energy_low_j) + (state.low_j or 0.0),
        high_j=(before_j if base.energy_high_j is None else base.energy_high_j) + (state.high_j or 0.0),
        kind=mix_kinds((base.kind, MODELLED, state.kind)),
    )


class LiveReader:
    """The trainer's side: ``read()`` never blocks and never goes backwards.

    Raises:
        OSError: the cell does not exist (the sampler was not started).
    """

    def __init__(self, path: Path | str) -> None:
        with Path(path).open("rb") as stream:
            self._map = mmap.mmap(stream.fileno(), CELL_BYTES, access=mmap.ACCESS_READ)
        self._last_cell: tuple[int, float, float, float, float, int] | None = None
        self._high_water: float | None = None

    def _cell(self) -> tuple[int, float, float, float, float, int] | None:
        for _ in range(20):
            cell = self._map[: _CELL.size]
            *words, total = _WORDS.unpack(cell)
            if sum(words) & _SUM_MASK == total and cell.startswith(_MAGIC):
                _, _, t_mono_ns, kind, energy, low, high, power, _ = _CELL.unpack(cell)
                self._last_cell = (t_mono_ns, energy, low, high, power, kind)
                break
        return self._last_cell

    def read(self) -> LiveReading:
        """The energy so far: what the sampler last published plus its power times the time since."""
        now = time.monotonic_ns()
        cell = self._cell()
        if cell is None:
            return LiveReading(now, None, None, None, working=False)
        t_mono_ns, energy, low, high, power, kind = cell
        age_s = max(0.0, (now - t_mono_ns) * 1e-9)
        if math.isnan(energy):
            return LiveReading(now, None, None, None, age_s=age_s, stale=age_s > STALE_AFTER_S, working=False)
        forward_j = 0.0 if math.isnan(power) else power * age_s
        total = energy + forward_j
        self._high_water = total if self._high_water is None else max(self._high_water, total)
        scale = self._high_water / energy if energy > 0 else 1.0
        return LiveReading(
            now,
            self._high_water,
            None if math.isnan(power) else power,
            _KINDS.get(kind & ~_NOT_WORKING),
            None if math.isnan(low) else low * scale,
            None if math.isnan(high) else high * scale,
            age_s,
            age_s > STALE_AFTER_S,
            working=age_s <= STALE_AFTER_S and not kind & _NOT_WORKING,
        )

    def close(self) -> None:
        """Release the map."""
        self._map.close()
