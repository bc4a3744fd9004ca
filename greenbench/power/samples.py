"""One reading of one device, and what is known about the device: the records everything here exchanges."""

from __future__ import annotations

import functools
from dataclasses import asdict, dataclass, field
from operator import attrgetter
from typing import Any

from greenbench.schema import build

MEASURED = "measured"
MODELLED = "modelled"
MIXED = "mixed"

COLUMNS = (
    "t_mono_ns",
    "read_ns",
    "device",
    "source",
    "kind",
    "power_w",
    "energy_j",
    "power_low_w",
    "power_high_w",
    "energy_low_j",
    "energy_high_j",
    "power_average_w",
    "temperature_c",
    "util_pct",
    "clock_mhz",
    "throttle",
    "foreign",
    "event",
    "late_share",
    "late_since_ns",
)
_TEXT = frozenset({"device", "source", "kind", "throttle", "event"})
_INTEGER = frozenset({"t_mono_ns", "read_ns", "foreign", "late_since_ns"})


@dataclass(slots=True)
class Sample:
    """One reading. ``None`` is absent; energies are cumulative since an arbitrary origin of the device.

    ``power_low_w .. power_high_w`` and ``energy_low_j .. energy_high_j`` are the range of a model.
    ``foreign`` counts processes on the device that do not belong to what is watched. ``event`` names what went
    wrong with this reading: ``lost``, ``wrap``, ``reset``, ``error``. ``late_share`` of the energy gained since the
    reading before was used evenly since ``late_since_ns``, and only now found out.
    """

    t_mono_ns: int
    read_ns: int
    device: str
    source: str
    kind: str
    power_w: float | None = None
    energy_j: float | None = None
    power_low_w: float | None = None
    power_high_w: float | None = None
    energy_low_j: float | None = None
    energy_high_j: float | None = None
    power_average_w: float | None = None
    temperature_c: float | None = None
    util_pct: float | None = None
    clock_mhz: float | None = None
    throttle: str | None = None
    foreign: int | None = None
    event: str | None = None
    late_share: float | None = None
    late_since_ns: int | None = None


@dataclass(slots=True)
class DeviceInfo:
    """What is known about a device before it is sampled; written into the header of every journal segment.

    ``counted`` is False for a device that is recorded but already contained in another one (a platform domain
    beside its packages). ``power_from`` says what ``power_w`` is: ``instant`` (a point reading), ``average_1s``
    (a sensor that averages over the last second), ``counter`` (derived from the energy counter, so no
    cross-check) or ``model``. ``tolerance`` is the relative tolerance of the sensor with ``tolerance_source``.
    ``counter_every_s`` is the time between two readings of the counter, where one costs too much for every tick.
    ``limit_w`` is what the device cannot exceed even for the time of one reading; None where only its kind tells.
    ``missing`` says why a device that is there cannot be read, and what to do: without it a total is not complete.
    """

    device: str
    source: str
    kind: str
    part: str
    counted: bool = True
    has_counter: bool = False
    power_from: str = "instant"
    update_period_s: float | None = None
    step_j: float | None = None
    read_latency_s: float | None = None
    counter_every_s: float | None = None
    tolerance: float = 0.0
    tolerance_source: str = ""
    wrap_j: float | None = None
    limit_w: float | None = None
    sample_period_s: float | None = None
    shared: bool = False
    missing: str = ""
    notes: list[str] = field(default_factory=list)
    details: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready dictionary."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> DeviceInfo:
        """Build from a dictionary and ignore keys of newer versions.

        Raises:
            ConfigError: a value of another type than its field's.
        """
        return build(cls, values, "device", lenient=True)


_values = attrgetter(*COLUMNS)


@functools.cache
def _row_format(*kinds: type) -> str:
    # "%.0s" prints nothing of whatever it gets: an absent value is an empty cell.
    cells = ["%.0s" if kind is type(None) else "%.10g" if issubclass(kind, float) else "%s" for kind in kinds]
    energy = COLUMNS.index("energy_j")
    if kinds[energy] is not type(None):
        cells[energy] = "%.6f"
    return ",".join(cells)


def to_row(sample: Sample) -> str:
    """Format as one CSV line without its newline; absent values (None, NaN) are empty cells."""
    values = _values(sample)
    row = _row_format(*map(type, values)) % values
    if "nan" in row:
        values = tuple(None if value != value else value for value in values)
        row = _row_format(*map(type, values)) % values
    return row


def from_row(columns: list[str], cells: list[str]) -> Sample:
    """Parse one CSV line.

    Raises:
        ValueError: a cell that must be a number is not one, or a required cell is missing.
    """
    values: dict[str, Any] = {}
    for name, cell in zip(columns, cells, strict=True):
        if name not in COLUMNS or cell == "":
            continue
        values[name] = cell if name in _TEXT else int(cell) if name in _INTEGER else float(cell)
        if name in _INTEGER and abs(values[name]) >= 2**63:
            raise ValueError(f"{name} is no number that a clock can show")
    try:
        return Sample(**values)
    except TypeError as error:
        raise ValueError(f"incomplete row: {','.join(cells)}") from error
