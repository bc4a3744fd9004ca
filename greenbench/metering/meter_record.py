"""What a ``Meter`` keeps beyond joules: the grid behind its grams, the figures that its user logs, and its record."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from greenbench.carbon import Grid
    from greenbench.metering.meter import Meter
    from greenbench.metering.recording import Recording


class RecordBook:
    """The record of one meter, used over and over: each use opens a folder of its own, where a folder was asked for.

    Nothing of records or carbon is imported for a meter that asks for neither: it would double the time to enter it.
    """

    def __init__(self, folder: Path | str | None, label: str, region: str | None) -> None:
        self.ready: Mapping[str, object] = {}
        self.figures: dict[str, float] = {}
        self._folder, self._label = folder, label or Path(sys.argv[0] or "python").stem or "python"
        self._directions: dict[str, str] = {}
        self._recording: Recording | None = None
        self._grid: Grid | None = None
        if folder is not None or region is not None:
            from greenbench.carbon import find_grid
            from greenbench.config import CarbonSection

            self._grid = find_grid(CarbonSection(region=region))

    def open(self) -> Path | None:
        """Begin a record; return where its journal lies, None where none was asked for."""
        self.figures, self._recording = {}, None
        if self._folder is None or self._grid is None:
            return None
        from greenbench.metering.recording import Recording

        self._recording = Recording(self._folder, self._label, sys.argv, self._grid)
        self.declare(self._directions)
        return self._recording.journal

    def declare(self, directions: Mapping[str, str]) -> None:
        """Keep what is better, for this use and those that follow."""
        from greenbench.metering.recording import declared

        found = {name: declared(name, direction) for name, direction in directions.items()}
        self._directions.update(directions)
        if self._recording is not None:
            self._recording.own.update(found)

    def log(self, figures: Mapping[str, float], step: int | None, **costs: float | None) -> None:
        """Note figures; without a record the last of each name is kept in memory alone."""
        self.figures.update(figures)
        if self._recording is not None:
            self._recording.log(figures, step, **costs)

    def event(self, edge: str, phase: str) -> None:
        """Note the begin or the end of a phase."""
        if self._recording is not None:
            self._recording.event(edge, phase)

    def grams(self, energy_j: float | None) -> float | None:
        """The emissions of so many joules at the region's factor."""
        factor = self._grid.at(time.time()) if self._grid is not None else None
        if factor is None or energy_j is None:
            return None
        from greenbench.carbon import emissions_g

        return emissions_g(energy_j, factor)[0]

    def close(self, meter: Meter, begin_ns: int, end_ns: int, error: BaseException | None) -> None:
        """Write the result. A disk that is full by now is a warning: the metered code has done its work."""
        recording, self._recording = self._recording, None
        if recording is None or self._grid is None:
            return
        from greenbench.carbon import account
        from greenbench.config import CarbonSection
        from greenbench.errors import OutputError
        from greenbench.metering.recording import Ended, Span
        from greenbench.metering.resident import resident_bytes

        energy_j = meter.energy.energy_j if meter.energy is not None else None
        found = account(
            CarbonSection(), self._grid.forecast(), energy_j=energy_j, duration_s=(end_ns - begin_ns) * 1e-9
        )
        spans = [Span(p.path, p.begin_ns, p.end_ns or end_ns, p.energy) for p in meter.phases if p.energy is not None]
        reason = None if error is None else f"{type(error).__name__}: {error}"
        facts: dict[str, Any] = {"spans": spans, "error": reason, "warnings": meter.warnings}
        try:
            ended = Ended(begin_ns, end_ns, meter.energy, found, peak_memory_bytes=resident_bytes("VmHWM"), **facts)
            recording.finish(ended, self.ready)
        except (OSError, OutputError) as trouble:
            meter.warnings.append(f"the record is not complete: {trouble}")
