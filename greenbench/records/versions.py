"""Files of earlier schemas, brought to the shape of the present one before they are read.

1. The first. PUE is multiplied into ``co2e_g``.
2. ``co2e_g`` is of IT energy alone; PUE's part stands in ``overhead_g``.
3. ``manifest.json`` is never written again: what was known later has left it. The sampler's sensors and GPUs stand in
   ``sensors.json``, the hours of an hourly CSV in ``carbon.json``, device, dtype, threads and torch's name of the card
   in ``result.json`` (``ran_on``). The grid's factors and a corpus' extra facts are tables of their own. A device's
   ``spoiled`` is called ``invalid``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from greenbench.records.manifest import DataSummary

_FACTOR = ("g_per_kwh", "low_g_per_kwh", "high_g_per_kwh", "source", "date", "region")
_ENERGIES = ("total", "budgeted", "wasted", "idle", "idle_context")


def present_manifest(table: Mapping[str, Any]) -> dict[str, Any]:
    """Bring a manifest to the present schema."""
    found = dict(table)
    if _version(table) >= 3:
        return found
    for key in ("data", "evaluate_data"):
        if isinstance(found.get(key), Mapping):
            found[key] = _nested_extra(found[key])
    if isinstance(found.get("carbon"), Mapping):
        found["carbon"] = _nested_factor(found["carbon"])
    return found


def later_facts(manifest: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Take out of a manifest before schema 3 what has files of its own since: ran_on, sensors and carbon."""
    ran_on = {key: manifest.get(key) for key in ("device", "dtype", "threads")}
    sensors = {**(manifest.get("sensors") or {}), "gpus": manifest.get("gpu") or []}
    return ran_on, sensors, {"hours": (manifest.get("carbon") or {}).get("hours") or []}


def present_result(table: Mapping[str, Any]) -> dict[str, Any]:
    """Bring a result to the present schema."""
    found = dict(table)
    if _version(table) < 2:
        found["row"] = _without_pue(table.get("row") or {})
    if _version(table) < 3 and isinstance(table.get("energy"), Mapping):
        energy = dict(table["energy"])
        found["energy"] = {**energy, **{name: _invalid_devices(energy[name]) for name in _ENERGIES if name in energy}}
    return found


def _version(table: Mapping[str, Any]) -> int:
    version = table.get("schema_version")
    return version if isinstance(version, int) else 0


def _nested_extra(data: Mapping[str, Any]) -> dict[str, Any]:
    known = {f.name for f in fields(DataSummary)}
    return {**data, "extra": {key: value for key, value in data.items() if key not in known}}


def _nested_factor(carbon: Mapping[str, Any]) -> dict[str, Any]:
    if carbon.get("g_per_kwh") is None:
        return dict(carbon)
    now = {key: carbon.get(key) or "" if key in _FACTOR[3:] else carbon.get(key) for key in _FACTOR}
    return {**carbon, "now": now, "factor": carbon.get("factor", now)}


def _without_pue(row: Mapping[str, Any]) -> dict[str, Any]:
    pue = row.get("pue") or 1.0
    if pue <= 1 or "co2e_g" not in row:
        return dict(row)
    parts = {key: row[key] / pue for key in ("co2e_g", "co2e_low_g", "co2e_high_g") if key in row}
    return {**row, **parts, "overhead_g": row["co2e_g"] - parts["co2e_g"]}


def _invalid_devices(energy: Mapping[str, Any]) -> dict[str, Any]:
    devices = [{**device, "invalid": device.get("spoiled") or []} for device in energy.get("devices") or []]
    return {**energy, "devices": devices}
