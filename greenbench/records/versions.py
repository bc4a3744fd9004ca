"""Files of earlier schemas, brought to the shape of the present one before they are read.

=======  ==============================================================================================================
version  what changed
=======  ==============================================================================================================
2        ``co2e_g`` is of IT energy alone; PUE's part stands in ``overhead_g`` (version 1 multiplied it in)
=======  ==============================================================================================================
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from greenbench.records.manifest import DataSummary

_FACTOR = ("g_per_kwh", "low_g_per_kwh", "high_g_per_kwh", "source", "date", "region")


def present_manifest(table: Mapping[str, Any]) -> dict[str, Any]:
    """Bring a manifest to the present schema: flat carbon factors and data extras get a place of their own."""
    found = dict(table)
    for key in ("data", "evaluate_data"):
        if isinstance(found.get(key), Mapping):
            found[key] = _nested_extra(found[key])
    if isinstance(found.get("carbon"), Mapping):
        found["carbon"] = _nested_factor(found["carbon"])
    return found


def _nested_extra(data: Mapping[str, Any]) -> dict[str, Any]:
    known = {f.name for f in fields(DataSummary)}
    extra = {key: value for key, value in data.items() if key not in known}
    return {**data, "extra": {**extra, **(data.get("extra") or {})}}


def _nested_factor(carbon: Mapping[str, Any]) -> dict[str, Any]:
    if carbon.get("g_per_kwh") is None:
        return dict(carbon)
    now = {key: carbon.get(key) or "" if key in _FACTOR[3:] else carbon.get(key) for key in _FACTOR}
    return {**carbon, "now": now, "factor": carbon.get("factor", now)}


def present_result(table: Mapping[str, Any]) -> dict[str, Any]:
    """Bring a result to the present schema."""
    if int(table.get("schema_version") or 0) >= 2:
        return dict(table)
    row = dict(table.get("row") or {})
    pue = row.get("pue") or 1.0
    if pue > 1 and "co2e_g" in row:
        whole_g = row["co2e_g"]
        row |= {key: row[key] / pue for key in ("co2e_g", "co2e_low_g", "co2e_high_g") if key in row}
        row["overhead_g"] = whole_g - row["co2e_g"]
    return {**table, "row": row}
