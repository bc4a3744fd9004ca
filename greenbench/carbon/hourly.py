"""A user's own hourly grid intensity: ``datetime,g_per_kwh`` in a CSV, weighted by when the energy was used."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from greenbench.carbon.factors import Factor
from greenbench.errors import ConfigError

_HOUR_S = 3600.0


@dataclass(frozen=True)
class HourlyFactors:
    """Intensities with the start of their hour (seconds since 1970, UTC), ascending."""

    t_s: tuple[float, ...]
    g_per_kwh: tuple[float, ...]
    source: str
    region: str

    def mean(self) -> Factor:
        """Average over the whole file; its lowest and highest hour are the range."""
        values = self.g_per_kwh
        return self._factor(sum(values) / len(values), min(values), max(values), self.t_s[0], self.t_s[-1])

    def between(self, begin_s: float, end_s: float) -> Factor:
        """Average over a run's hours, weighted by the time spent in each (seconds since 1970, UTC).

        Raises:
            ConfigError: the file does not cover the run.
        """
        weights: list[tuple[float, float]] = []
        for t, value in zip(self.t_s, self.g_per_kwh, strict=True):
            overlap = min(end_s, t + _HOUR_S) - max(begin_s, t)
            if overlap > 0 or t <= begin_s == end_s < t + _HOUR_S:
                weights.append((max(overlap, 1e-9), value))
        covered = sum(weight for weight, _ in weights)
        if not weights or covered < 0.99 * (end_s - begin_s):
            raise ConfigError(f"{self.source}: does not cover the hours of the run")
        values = [value for _, value in weights]
        mean = sum(weight * value for weight, value in weights) / covered
        return self._factor(mean, min(values), max(values), begin_s, end_s)

    def _factor(self, mean: float, low: float, high: float, begin_s: float, end_s: float) -> Factor:
        dates = [datetime.fromtimestamp(t, timezone.utc).strftime("%Y-%m-%dT%H:%MZ") for t in (begin_s, end_s)]
        return Factor(mean, low, high, self.source, " to ".join(dates), self.region)


def read_hourly(path: Path | str, region: str = "") -> HourlyFactors:
    """Read a CSV with a time column (ISO 8601, UTC where no zone is given) and an intensity in g/kWh.

    The first column is the time and the second the intensity, or the columns ``datetime`` and ``g_per_kwh``.

    Raises:
        ConfigError: an unreadable file or row, named with its line.
    """
    path = Path(path)
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            rows = list(csv.reader(stream))
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    header = [cell.strip().lower() for cell in rows[0]] if rows else []
    named = "g_per_kwh" in header and "datetime" in header
    time_column, value_column = (header.index("datetime"), header.index("g_per_kwh")) if named else (0, 1)
    found: list[tuple[float, float]] = []
    for number, row in enumerate(rows, start=1):
        if not row or (number == 1 and not _is_time(row[time_column])):
            continue
        try:
            value = float(row[value_column])
            if not 0 <= value < float("inf"):
                raise ValueError
            found.append((_seconds(row[time_column]), value))
        except (ValueError, IndexError):
            raise ConfigError(
                f"{path}, line {number}: expected 'datetime,g_per_kwh', found {','.join(row)!r}"
            ) from None
    if not found:
        raise ConfigError(f"{path}: holds no hours; expected lines of 'datetime,g_per_kwh'")
    found.sort()
    return HourlyFactors(tuple(t for t, _ in found), tuple(v for _, v in found), f"hourly CSV {path.name}", region)


def _is_time(cell: str) -> bool:
    try:
        _seconds(cell)
    except ValueError:
        return False
    return True


def _seconds(cell: str) -> float:
    moment = datetime.fromisoformat(cell.strip().replace("Z", "+00:00"))
    return (moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)).timestamp()
