"""Electricity Maps' present grid intensity, optional and cached on disk so that a suite asks once an hour.

The token comes from the argument or from ``ELECTRICITYMAPS_API_KEY``; the address can be changed for tests and
proxies with ``GREENBENCH_ELECTRICITYMAPS_URL``.
"""

from __future__ import annotations

import http.client
import json
import os
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

from greenbench.carbon.factors import Factor
from greenbench.errors import ConfigError
from greenbench.resources import cache_dir as default_cache

KEY_VARIABLE = "ELECTRICITYMAPS_API_KEY"
URL_VARIABLE = "GREENBENCH_ELECTRICITYMAPS_URL"
DEFAULT_URL = "https://api.electricitymap.org"
_FRESH_S = 3600.0
_TIMEOUT_S = 10.0
_RANGE = 0.10


def live_factor(
    zone: str,
    *,
    token: str | None = None,
    cache_dir: Path | None = None,
    base_url: str | None = None,
    now_s: float | None = None,
) -> Factor:
    """The latest life-cycle intensity of an Electricity Maps zone (``FR``, ``US-CAL-CISO``).

    A cached answer younger than an hour is used without asking; an older one is used where the service cannot be
    reached, and its date says so.

    Raises:
        ConfigError: no token, a zone or token the service refuses, or no answer and nothing cached.
    """
    now_s = time.time() if now_s is None else now_s
    cache = (cache_dir or default_cache()) / f"electricitymaps-{urllib.parse.quote(zone, safe='')}.json"
    cached = _cached(cache)
    if cached is not None and 0 <= now_s - cached["fetched_s"] < _FRESH_S:
        return _factor(cached["answer"], zone)
    try:
        answer = _ask(zone, token, base_url)
    except (OSError, ValueError, http.client.HTTPException) as error:
        if isinstance(error, urllib.error.HTTPError) and error.code in (401, 403, 404):
            raise ConfigError(f"Electricity Maps refuses zone {zone!r} or the token: HTTP {error.code}") from error
        if cached is not None:
            return _factor(cached["answer"], zone, " (cached: the service did not answer)")
        raise ConfigError(f"Electricity Maps did not answer and nothing is cached for {zone!r}: {error}") from error
    _store(cache, {"fetched_s": now_s, "answer": answer})
    return _factor(answer, zone)


def _ask(zone: str, token: str | None, base_url: str | None) -> dict[str, Any]:
    token = token or os.environ.get(KEY_VARIABLE)
    if not token:
        raise ConfigError(f"Electricity Maps needs a token: set {KEY_VARIABLE}")
    base = (base_url or os.environ.get(URL_VARIABLE) or DEFAULT_URL).rstrip("/")
    if not base.startswith(("https://", "http://")):
        raise ConfigError(f"{URL_VARIABLE} = {base!r}: an http(s) address is needed")
    query = urllib.parse.urlencode({"zone": zone})
    request = urllib.request.Request(f"{base}/v3/carbon-intensity/latest?{query}", headers={"auth-token": token})
    with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as response:
        answer = json.load(response)
    if not isinstance(answer, dict) or not isinstance(answer.get("carbonIntensity"), int | float):
        raise ValueError("the answer holds no carbonIntensity")
    return answer


def _factor(answer: dict[str, Any], zone: str, remark: str = "") -> Factor:
    value = float(answer["carbonIntensity"])
    date = str(answer.get("datetime", ""))
    source = f"Electricity Maps, latest{' (estimated)' if answer.get('isEstimated') else ''}{remark}"
    return Factor(value, value * (1 - _RANGE), value * (1 + _RANGE), source, date, zone)


def _cached(path: Path) -> dict[str, Any] | None:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    usable = isinstance(values, dict) and isinstance(values.get("fetched_s"), int | float) and "answer" in values
    return values if usable else None


def _store(path: Path, values: dict[str, Any]) -> None:
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(json.dumps(values), encoding="utf-8")
        temporary.replace(path)
    except OSError:
        return  # a cache that cannot be written costs a question per run, nothing else
