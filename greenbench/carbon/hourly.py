"""A user's own hourly grid intensity: ``datetime,g_per_kwh`` in a CSV, weighted by when the energy was used."""

from __future__ import annotations

import bisect
import csv
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from greenbench.carbon.factors import Factor
from greenbench.errors import ConfigError

_HOUR_S = 3600.0
_LEAST_COVERED = 0.99


@dataclass(frozen=True)
class Interval:
    """A part of a run: wall clock begin and end (seconds since 1970), and the joules used between two moments in it.

    ``energy_j(begin_s, end_s)`` is None where that is unknown.
    """

    begin_s: float
    end_s: float
    energy_j: Callable[[float, float], float | None]


@dataclass(frozen=True)
class HourlyFactors:
    """Intensities with the start of their interval (seconds since 1970, UTC), ascending.

    A row holds until the next one begins, and for an hour at most.
    """

    t_s: tuple[float, ...]
    g_per_kwh: tuple[float, ...]
    source: str
    region: str

    def mean(self) -> Factor:
        """Average over the whole file, for forecasts; its lowest and highest row are the range."""
        values = self.g_per_kwh
        mean = sum(values) / len(values)
        return self._factor(mean, values, self.t_s[0], self.t_s[-1], "mean of the file")

    def at(self, t_s: float) -> Factor | None:
        """The factor of one moment (seconds since 1970); None where the file does not cover it."""
        i = bisect.bisect_right(self.t_s, t_s) - 1
        if i < 0 or t_s >= self.t_s[i] + _HOUR_S:
            return None
        value = self.g_per_kwh[i]
        return self._factor(value, [value], self.t_s[i], self.t_s[i] + _HOUR_S, "present hour")

    def between(self, begin_s: float, end_s: float) -> Factor:
        """Average over a run's hours, weighted by the time spent in each (seconds since 1970, UTC).

        Raises:
            ConfigError: the file does not cover the run.
        """
        return self.spent([Interval(begin_s, end_s, lambda _begin, _end: None)])

    def spent(self, intervals: Sequence[Interval]) -> Factor:
        """Average over the hours of a run, weighted by the energy used in each; by time where that is unknown.

        Raises:
            ConfigError: the file does not cover the run.
        """
        pieces = [(s, *piece) for s in intervals for piece in self._pieces(s.begin_s, s.end_s)]
        first, last = min(s.begin_s for s in intervals), max(s.end_s for s in intervals)
        if not self.covers(intervals):
            raise ConfigError(
                f"{self.source} does not cover the hours of the run: it holds {_text(self.t_s[0])} to "
                f"{_text(self.t_s[-1] + _HOUR_S)}, the run took place from {_text(first)} to {_text(last)}"
            )
        joules = [interval.energy_j(begin, end) for interval, begin, end, _ in pieces]
        known = [j for j in joules if j is not None]
        by_energy = len(known) == len(pieces) and sum(known) > 0
        weights = known if by_energy else [max(end - begin, 1e-9) for _, begin, end, _ in pieces]
        values = [value for *_, value in pieces]
        mean = sum(w * value for w, value in zip(weights, values, strict=True)) / sum(weights)
        how = f"hours of the run weighted by {'energy' if by_energy else 'time'}"
        return self._factor(mean, values, first, last, how)

    def covers(self, intervals: Sequence[Interval]) -> bool:
        """Whether the rows reach over all of a run (1 % may be missing)."""
        pieces = [piece for s in intervals for piece in self._pieces(s.begin_s, s.end_s)]
        whole_s = sum(s.end_s - s.begin_s for s in intervals)
        return bool(pieces) and sum(end - begin for begin, end, _ in pieces) >= _LEAST_COVERED * whole_s

    def within(self, begin_s: float, end_s: float) -> list[tuple[float, float]]:
        """The rows that reach into a run, and the one after it, which ends the last."""
        rows = [*self._intervals()]
        last = max((i for i, (begin, _, _) in enumerate(rows) if begin <= end_s), default=-1)
        return [(b, value) for i, (b, end, value) in enumerate(rows) if end > begin_s and i <= last + 1]

    def _pieces(self, begin_s: float, end_s: float) -> Iterator[tuple[float, float, float]]:
        for begin, end, value in self._intervals():
            if min(end_s, end) > max(begin_s, begin) or begin <= begin_s == end_s < end:
                yield max(begin_s, begin), min(end_s, end), value

    def _intervals(self) -> Iterator[tuple[float, float, float]]:
        for i, (t, value) in enumerate(zip(self.t_s, self.g_per_kwh, strict=True)):
            following = self.t_s[i + 1] if i + 1 < len(self.t_s) else float("inf")
            yield t, min(t + _HOUR_S, following), value

    def _factor(self, mean: float, values: Sequence[float], begin_s: float, end_s: float, how: str) -> Factor:
        date = f"{_text(begin_s)} to {_text(end_s)}"
        return Factor(mean, min(values), max(values), f"{self.source}, {how}", date, self.region)


def _text(t_s: float) -> str:
    return datetime.fromtimestamp(t_s, UTC).strftime("%Y-%m-%dT%H:%MZ")


def read_hourly(path: Path | str, region: str = "") -> HourlyFactors:
    """Read a CSV with a time column (ISO 8601, UTC where no zone is given) and an intensity in g/kWh.

    The first column is the time and the second the intensity, or the columns ``datetime`` and ``g_per_kwh``.

    Raises:
        ConfigError: an unreadable file or row, named with its line.
    """
    path = Path(path)
    rows = _rows(path)
    header = [cell.strip().lower() for cell in rows[0]] if rows else []
    named = "g_per_kwh" in header and "datetime" in header
    time_column, value_column = (header.index("datetime"), header.index("g_per_kwh")) if named else (0, 1)
    found: dict[float, float] = {}
    for number, row in enumerate(rows, start=1):
        if not row or (number == 1 and not _is_time(row[time_column])):
            continue
        try:
            moment, value = _seconds(row[time_column]), float(row[value_column])
            if not 0 <= value < float("inf"):
                raise ValueError
        except (ValueError, IndexError):
            raise ConfigError(
                f"{path}, line {number}: expected 'datetime,g_per_kwh', found {','.join(row)!r}"
            ) from None
        if moment in found:
            raise ConfigError(
                f"{path}, line {number}: {row[time_column]!r} stands twice; write local time with its zone"
            )
        found[moment] = value
    if not found:
        raise ConfigError(f"{path}: holds no hours; expected lines of 'datetime,g_per_kwh'")
    times = tuple(sorted(found))
    return HourlyFactors(times, tuple(found[t] for t in times), f"hourly CSV {path.name}", region)


def _rows(path: Path) -> list[list[str]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            return list(csv.reader(stream))
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot be read ({error.strerror or error}); give a CSV of 'datetime,g_per_kwh'"
        ) from error
    except (ValueError, csv.Error) as error:
        raise ConfigError(f"{path}: not a CSV of 'datetime,g_per_kwh' ({error})") from error


def _is_time(cell: str) -> bool:
    try:
        _seconds(cell)
    except ValueError:
        return False
    return True


def _seconds(cell: str) -> float:
    moment = datetime.fromisoformat(cell.strip().replace("Z", "+00:00"))
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
