"""Carbon intensity of electricity from tables that travel with the package, with its source, date and range.

The figures are those of CodeCarbon's published data; ``data/build_tables.py`` makes ``tables/regions.json`` of them.

Regions: ``FRA`` (ISO 3166 alpha-3, or alpha-2 where it is unambiguous), ``USA-CA``, ``CAN-QC``, ``CHN-BJ``, bidding
zones ``SE1``, and cloud regions ``aws:eu-west-3``, ``gcp:europe-west9``, ``azure:...``. There is no default region:
without one there is no emissions figure.

The range. A yearly average hides the hours. Where the mix is known, the fossil share of an hour is taken to lie
between half and twice its yearly mean (never above 100 %), the rest staying as it is; at least +-10 %. Where only a
total is known it is +-30 %, about what neighbouring years and different publishers differ by. Both are stated
rules, not confidence intervals.
"""

from __future__ import annotations

import difflib
import functools
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from greenbench.carbon.clouds import LOCATIONS
from greenbench.errors import ConfigError
from greenbench.resources import table
from greenbench.units import joules_to_kwh

HINT = (
    "no region: emissions are left out; name one (FRA, USA-CA, gcp:europe-west9): --region, in a suite "
    "-o carbon.region=FRA, in Python region="
)
_GRAMS_PER_POUND = 453.59237
_LEAST_RANGE, _BLIND_RANGE = 0.10, 0.30
_FOSSIL = frozenset({"coal_TWh", "oil_TWh", "gas_TWh", "coal", "petroleum", "naturalGas", "other"})
# Life-cycle medians in gCO2e/kWh of IPCC AR5 WG3 (2014), annex III, table A.III.2.
_BY_SOURCE = {
    "coal_TWh": 820.0,
    "oil_TWh": 650.0,
    "gas_TWh": 490.0,
    "biofuel_TWh": 230.0,
    "solar_TWh": 48.0,
    "hydroelectricity_TWh": 24.0,
    "wind_TWh": 11.0,
    "nuclear_TWh": 12.0,
}
_CANADA = {
    "coal": 820.0,
    "petroleum": 650.0,
    "naturalGas": 490.0,
    "biomass": 230.0,
    "solar": 48.0,
    "hydro": 24.0,
    "wind": 11.0,
    "nuclear": 12.0,
    "tidal": 17.0,
    "other": 475.0,
}
_PROVINCES = {
    "AB": "alberta",
    "BC": "british columbia",
    "MB": "manitoba",
    "NB": "new brunswick",
    "NL": "newfoundland and labrador",
    "NS": "nova scotia",
    "NT": "northwest territories",
    "NU": "nunavut",
    "ON": "ontario",
    "PE": "prince edward island",
    "QC": "quebec",
    "SK": "saskatchewan",
    "YT": "yukon",
}


@dataclass(frozen=True)
class Factor:
    """Grams of CO2 equivalent per kWh with their range, source, date and region."""

    g_per_kwh: float
    low_g_per_kwh: float
    high_g_per_kwh: float
    source: str
    date: str
    region: str

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready dictionary."""
        return asdict(self)


def emissions_g(energy_j: float, factor: Factor) -> tuple[float, float, float]:
    """``(g, low_g, high_g)`` of CO2 equivalent; the range is the factor's alone."""
    kwh = joules_to_kwh(energy_j)
    return kwh * factor.g_per_kwh, kwh * factor.low_g_per_kwh, kwh * factor.high_g_per_kwh


def factor_for(region: str | None, intensity_g_per_kwh: float | None = None) -> Factor | None:
    """The factor for a region, or a user's own figure, which wins over the tables.

    None where nothing is given (see ``HINT``).

    Raises:
        ConfigError: an unknown region, or an intensity that is not a non-negative number.
    """
    if intensity_g_per_kwh is not None:
        if not 0 <= intensity_g_per_kwh < float("inf"):
            raise ConfigError(f"carbon.intensity_g_per_kwh = {intensity_g_per_kwh}: a non-negative number is needed")
        value = float(intensity_g_per_kwh)
        return Factor(value, value, value, "given by the user", "", region or "")
    if region is None or not region.strip():
        return None
    return _from_tables(region.strip())


def _from_tables(region: str) -> Factor:
    provider, _, cloud = region.partition(":")
    if cloud:
        return _cloud(provider.lower(), cloud.lower())
    name = region.upper()
    country, _, part = name.partition("-")
    if part:
        return _part(_alpha3(country), part)
    zones = _tables()["nordic"]
    if name in zones:
        zone = zones[name]
        return _blind(zone["g_per_kwh"], "CodeCarbon, Nordic bidding zones", str(zone.get("year", "")), name)
    return _country(_alpha3(name), region)


@functools.lru_cache(maxsize=1)
def _tables() -> dict[str, Any]:
    return dict(json.loads(table("regions.json").read_text(encoding="utf-8")))


def _range(value: float, low: float, high: float) -> tuple[float, float]:
    return max(0.0, min(low, value * (1 - _LEAST_RANGE))), max(high, value * (1 + _LEAST_RANGE))


def _spread(value: float, shares: Mapping[str, float], by_source: Mapping[str, float]) -> tuple[float, float]:
    total = sum(shares.values()) or 1.0
    fossil_share = sum(share for name, share in shares.items() if name in _FOSSIL) / total
    grams = {name: share * by_source[name] for name, share in shares.items()}
    fossil_part = value * sum(g for name, g in grams.items() if name in _FOSSIL) / (sum(grams.values()) or 1.0)
    more = min(1.0, (1.0 - fossil_share) / fossil_share) if fossil_share > 0 else 0.0
    return _range(value, value - fossil_part / 2, value + fossil_part * more)


def _blind(value: float, source: str, date: str, region: str) -> Factor:
    return Factor(value, value * (1 - _BLIND_RANGE), value * (1 + _BLIND_RANGE), source, date, region)


def _country(code: str, given: str) -> Factor:
    countries = _tables()["countries"]
    row = countries.get(code)
    if row is None or row["g_per_kwh"] is None:
        raise _unknown(given, list(countries), code)
    value = float(row["g_per_kwh"])
    shares = {name: float(row.get(name) or 0.0) for name in _BY_SOURCE}
    low, high = _spread(value, shares, _BY_SOURCE)
    return Factor(value, low, high, "Our World in Data energy mix, via CodeCarbon", str(row["year"]), code)


def _part(country: str, part: str) -> Factor:
    region = f"{country}-{part}"
    if country == "USA":
        states = _tables()["usa_lb_per_mwh"]
        if part not in states:
            raise _unknown(region, [f"{country}-{known}" for known in states])
        value = float(states[part]) * _GRAMS_PER_POUND / 1000.0
        return _blind(value, "EPA eGRID state output emission rate, via CodeCarbon", "2023", region)
    if country == "CAN":
        if part not in _PROVINCES:
            raise _unknown(region, [f"{country}-{known}" for known in _PROVINCES])
        row = _tables()["canada_pct"][_PROVINCES[part]]
        shares = {name: float(row.get(name) or 0.0) for name in _CANADA}
        value = sum(share * _CANADA[name] for name, share in shares.items()) / (sum(shares.values()) or 1.0)
        low, high = _spread(value, shares, _CANADA)
        return Factor(value, low, high, "provincial energy mix via CodeCarbon x IPCC AR5 medians", "2023", region)
    if country == "CHN":
        rows = _tables()["china"]
        row = rows.get(part)
        if row is None:
            raise _unknown(region, [f"{country}-{known}" for known in rows])
        return _blind(float(row["g_per_kwh"]), "provincial factors via CodeCarbon", str(row["year"]), region)
    raise ConfigError(f"carbon.region = {region!r}: parts of a country are known for USA, CAN and CHN only")


def _cloud(provider: str, name: str) -> Factor:
    rows = {(row["provider"], row["region"]): row for row in _tables()["clouds"]}
    row = rows.get((provider, name))
    if row is None and (provider, name) in LOCATIONS:
        local = _from_tables(LOCATIONS[provider, name])
        return replace(local, source=f"{local.source} (where the cloud region lies)", region=f"{provider}:{name}")
    if row is None:
        known = [f"{p}:{r}" for p, r in (*rows, *LOCATIONS)]
        raise _unknown(f"{provider}:{name}", known)
    value = float(row["impact"])
    source = f"{row['source'] or 'cloud provider'}, via CodeCarbon"
    return _blind(value, source, "", f"{provider}:{name}")


def _alpha3(code: str) -> str:
    return _ALPHA2.get(code, code) if len(code) == 2 else code


_ALPHA2 = {
    "FR": "FRA",
    "DE": "DEU",
    "GB": "GBR",
    "UK": "GBR",
    "US": "USA",
    "CA": "CAN",
    "CN": "CHN",
    "ES": "ESP",
    "IT": "ITA",
    "NL": "NLD",
    "BE": "BEL",
    "CH": "CHE",
    "AT": "AUT",
    "SE": "SWE",
    "NO": "NOR",
    "FI": "FIN",
    "DK": "DNK",
    "PL": "POL",
    "PT": "PRT",
    "IE": "IRL",
    "JP": "JPN",
    "KR": "KOR",
    "TW": "TWN",
    "IN": "IND",
    "AU": "AUS",
    "BR": "BRA",
    "MX": "MEX",
    "ZA": "ZAF",
    "SG": "SGP",
    "CZ": "CZE",
    "IL": "ISR",
    "TR": "TUR",
}


def known_regions() -> list[str]:
    """Every region the tables know."""
    tables = _tables()
    states = [f"USA-{code}" for code in tables["usa_lb_per_mwh"]]
    provinces = [f"CAN-{code}" for code in _PROVINCES]
    china = [f"CHN-{code}" for code in tables["china"]]
    clouds = [f"{row['provider']}:{row['region']}" for row in tables["clouds"]]
    places = [*tables["countries"], *states, *provinces, *china, *tables["nordic"]]
    return [*places, *clouds, *(f"{p}:{r}" for p, r in LOCATIONS)]


def _unknown(given: str, known: list[str], wanted: str | None = None) -> ConfigError:
    near = difflib.get_close_matches(wanted or given, known, n=4, cutoff=0.5)
    hint = f"did you mean {', '.join(near)}?" if near else "it is not in the offline tables;"
    return ConfigError(
        f"carbon.region = {given!r}: unknown region; {hint} "
        "write a country (FRA), a state (USA-CA), a cloud region (aws:eu-west-3), or give intensity_g_per_kwh"
    )
