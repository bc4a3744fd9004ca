from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenbench.carbon import (
    DEVICES,
    HINT,
    Factor,
    Interval,
    account,
    embodied_for,
    embodied_g,
    emissions_g,
    factor_for,
    find_grid,
    known_regions,
    live_factor,
    read_hourly,
    sci,
    with_pue,
)
from greenbench.config import CarbonSection
from greenbench.errors import ConfigError
from greenbench.schema import build


@pytest.mark.parametrize(
    ("region", "grams"),
    [
        ("FRA", 56.039),
        ("fra", 56.039),
        ("FR", 56.039),
        ("USA-CA", 394.769 * 0.45359237),
        ("SE1", 25.9),
        ("CHN-BJ", 555.4),
        ("gcp:africa-south1", 646),
        ("aws:eu-west-3", 56.039),
    ],
)
def test_regions_give_the_tables_figure_with_source_and_range(region: str, grams: float) -> None:
    factor = factor_for(region)
    assert factor.g_per_kwh == pytest.approx(grams)
    assert factor.low_g_per_kwh < factor.g_per_kwh < factor.high_g_per_kwh
    assert factor.source


def test_every_known_region_resolves_to_a_sane_range() -> None:
    regions = known_regions()
    assert len(regions) > 250
    for region in regions:
        factor = factor_for(region)
        assert 0 <= factor.low_g_per_kwh <= factor.g_per_kwh <= factor.high_g_per_kwh < 2000, region


def test_no_region_means_no_figure() -> None:
    assert factor_for(None) is None
    assert factor_for("  ") is None


@pytest.mark.parametrize("region", ["FRX", "USA-XX", "gcp:europe-west99", "FRA-75", "ZZ", "CAN-XX", "aws:"])
def test_an_unknown_region_is_refused_in_one_line(region: str) -> None:
    with pytest.raises(ConfigError, match=r"carbon\.region") as caught:
        factor_for(region)
    assert "\n" not in str(caught.value)


def test_the_users_own_figure_wins_over_the_tables() -> None:
    assert factor_for("FRA", 52.0).g_per_kwh == 52.0
    assert factor_for(None, 0.0).g_per_kwh == 0.0
    for wrong in (-1.0, float("nan"), float("inf")):
        with pytest.raises(ConfigError, match="intensity"):
            factor_for(None, wrong)


@given(st.floats(0, 1e12), st.floats(0, 2000))
def test_a_kilowatt_hour_is_worth_the_factor(energy_j: float, grams: float) -> None:
    factor = Factor(grams, grams / 2, grams * 2, "", "", "")
    middle, low, high = emissions_g(energy_j, factor)
    assert middle == pytest.approx(energy_j / 3_600_000 * grams)
    assert low <= middle <= high


def test_an_hourly_file_is_weighted_by_the_time_of_use(tmp_path: Path) -> None:
    path = tmp_path / "grid.csv"
    path.write_text("datetime,g_per_kwh\n2025-01-01T00:00Z,100\n2025-01-01T01:00Z,300\n2025-01-01T02:00Z,50\n")
    hours = read_hourly(path, "X")
    assert hours.mean().g_per_kwh == pytest.approx(150)
    begin = hours.t_s[0] + 1800
    factor = hours.between(begin, begin + 5400)  # half an hour at 100, one hour at 300
    assert factor.g_per_kwh == pytest.approx((0.5 * 100 + 1.0 * 300) / 1.5)
    assert (factor.low_g_per_kwh, factor.high_g_per_kwh) == (100, 300)
    with pytest.raises(ConfigError, match="does not cover"):
        hours.between(begin, begin + 86400)


@pytest.mark.parametrize(
    "text", ["", "datetime,g_per_kwh\n", "2025-01-01T00:00Z,abc\n", "2025-01-01T00:00Z\n", "2025-01-01T00:00Z,-4\n"]
)
def test_a_wrong_hourly_file_is_named_with_its_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "grid.csv"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"grid\.csv"):
        read_hourly(path)
    with pytest.raises(ConfigError, match="none"):
        read_hourly(tmp_path / "none.csv")


class MapsServer(ThreadingHTTPServer):
    """The service, with the answer that a test wants."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Maps)
        self.asked: list[tuple[str, str | None]] = []
        self.code, self.value = 200, 47


class _Maps(BaseHTTPRequestHandler):
    server: MapsServer

    def do_GET(self) -> None:
        self.server.asked.append((self.path, self.headers.get("auth-token")))
        code = self.server.code
        body = {
            "zone": "FR",
            "carbonIntensity": self.server.value,
            "datetime": "2025-01-01T00:00:00Z",
            "isEstimated": True,
        }
        self.send_response(code)
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def maps(monkeypatch: pytest.MonkeyPatch) -> Iterator[MapsServer]:
    server = MapsServer()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setenv("GREENBENCH_ELECTRICITYMAPS_URL", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("ELECTRICITYMAPS_API_KEY", "secret")
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_electricity_maps_is_asked_once_an_hour(maps: MapsServer, tmp_path: Path) -> None:
    first = live_factor("FR", cache_dir=tmp_path, now_s=1000.0)
    assert first.g_per_kwh == 47
    assert "estimated" in first.source
    maps.value = 99
    assert live_factor("FR", cache_dir=tmp_path, now_s=4000.0) == first
    assert len(maps.asked) == 1
    assert maps.asked[0] == ("/v3/carbon-intensity/latest?zone=FR", "secret")
    assert live_factor("FR", cache_dir=tmp_path, now_s=5000.0).g_per_kwh == 99


def test_a_service_that_fails_leaves_the_cached_answer_with_a_remark(maps: MapsServer, tmp_path: Path) -> None:
    live_factor("FR", cache_dir=tmp_path, now_s=0.0)
    maps.code = 500
    again = live_factor("FR", cache_dir=tmp_path, now_s=9000.0)
    assert again.g_per_kwh == 47
    assert "cached" in again.source
    with pytest.raises(ConfigError, match="nothing is cached"):
        live_factor("DE", cache_dir=tmp_path)


def test_a_refused_token_and_a_missing_one_are_told_apart(
    maps: MapsServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    maps.code = 401
    with pytest.raises(ConfigError, match="HTTP 401"):
        live_factor("FR", cache_dir=tmp_path)
    monkeypatch.delenv("ELECTRICITYMAPS_API_KEY")
    with pytest.raises(ConfigError, match="needs a token"):
        live_factor("FR", cache_dir=tmp_path)


def test_embodied_carbon_is_spread_over_the_service_life() -> None:
    gpu = embodied_for("gpu")
    year_s = 365.25 * 86400
    assert embodied_g(gpu, 3 * year_s) == pytest.approx(164_000)
    assert embodied_g(gpu, 3600, count=8) == pytest.approx(8 * 164_000 / (3 * 365.25 * 24))
    with pytest.raises(ConfigError, match="gpu"):
        embodied_for("gpv")


def test_pue_is_applied_afterwards_and_never_below_one() -> None:
    assert with_pue(100.0, 1.58) == pytest.approx(158)
    for wrong in (0.9, float("nan"), 0.0):
        with pytest.raises(ConfigError, match="pue"):
            with_pue(100.0, wrong)


def test_an_hourly_file_is_weighted_by_the_energy_of_each_hour(tmp_path: Path) -> None:
    path = tmp_path / "grid.csv"
    path.write_text("2025-01-01T00:00Z,100\n2025-01-01T01:00Z,300\n")
    hours = read_hourly(path)
    middle = hours.t_s[1]
    run = Interval(middle - 1800, middle + 1800, lambda begin, end: (end - begin) * (10 if end <= middle else 30))
    factor = hours.spent([run])
    assert factor.g_per_kwh == pytest.approx((10 * 100 + 30 * 300) / 40)
    assert "weighted by energy" in factor.source
    unknown = hours.spent([Interval(run.begin_s, run.end_s, lambda begin, end: None)])
    assert unknown.g_per_kwh == pytest.approx(200)
    assert "weighted by time" in unknown.source
    # What lies between two sessions of a run burns nothing and weighs nothing.
    apart = [Interval(t, t + 60, lambda begin, end: 5.0) for t in (hours.t_s[0], hours.t_s[1] + 3000)]
    assert hours.spent(apart).g_per_kwh == pytest.approx(200)


def test_rows_of_half_an_hour_hold_until_the_next(tmp_path: Path) -> None:
    path = tmp_path / "grid.csv"
    path.write_text("2025-01-01T00:00Z,100\n2025-01-01T00:30Z,200\n2025-01-01T01:00Z,300\n")
    hours = read_hourly(path)
    assert hours.between(hours.t_s[0], hours.t_s[0] + 3600).g_per_kwh == pytest.approx(150)
    assert [hours.at(hours.t_s[0] + t).g_per_kwh for t in (0, 1799, 1800, 7199)] == [100, 100, 200, 300]
    assert hours.at(hours.t_s[0] + 7200) is None
    path.write_text("2025-01-01T00:00Z,100\n2025-01-01T00:00Z,200\n")
    with pytest.raises(ConfigError, match=r"line 2.*twice"):
        read_hourly(path)


def test_where_the_hours_do_not_reach_the_region_steps_in_or_there_is_no_figure(tmp_path: Path) -> None:
    path = tmp_path / "grid.csv"
    path.write_text("2025-01-01T00:00Z,100\n")
    run = [Interval(2e9, 2e9 + 60, lambda begin, end: 1.0)]
    factor, warnings = find_grid(CarbonSection(hourly_csv=str(path))).over(run)
    assert factor is None
    assert "2025-01-01T00:00Z to 2025-01-01T01:00Z" in warnings[0]
    assert "hourly_csv" in warnings[0]
    assert "region" in warnings[0]
    factor, warnings = find_grid(CarbonSection(hourly_csv=str(path), region="FRA")).over(run)
    assert factor == factor_for("FRA")
    assert "stands in" in warnings[0]


def test_a_live_zone_that_does_not_answer_is_a_warning_and_the_region_steps_in(
    maps: MapsServer, tmp_path: Path
) -> None:
    found = find_grid(CarbonSection(live_zone="FR"), cache_dir=tmp_path, now_s=0.0)
    assert (found.factor.g_per_kwh, found.warnings) == (47, ())
    maps.code = 503
    kept = find_grid(CarbonSection(live_zone="FR"), cache_dir=tmp_path, now_s=9000.0)
    assert kept.factor.g_per_kwh == 47
    assert "cached" in kept.factor.source
    with_region = find_grid(CarbonSection(live_zone="DE", region="DEU"), cache_dir=tmp_path)
    assert with_region.factor == factor_for("DEU")
    assert "live_zone = 'DE'" in with_region.warnings[0]
    assert "stands in" in with_region.warnings[0]
    without = find_grid(CarbonSection(live_zone="DE"), cache_dir=tmp_path)
    assert without.factor is None
    assert "name a region" in without.warnings[0]


def test_without_a_region_there_is_no_figure_and_no_zero() -> None:
    grid = find_grid(CarbonSection())
    assert not grid.known
    assert "no region" in HINT
    found = account(CarbonSection(), grid.factor, energy_j=3.6e6, duration_s=60.0)
    assert (found.figures, found.devices, found.warnings) == ({}, [], [])


_amount = st.floats(1e-3, 1e6)


@given(energy_kwh=_amount, grams=_amount, pue=st.floats(1, 3), kg=st.floats(0, 1e4), hours=_amount, units=_amount)
def test_sci_is_energy_times_intensity_plus_embodied_per_unit(
    energy_kwh: float, grams: float, pue: float, kg: float, hours: float, units: float
) -> None:
    settings = CarbonSection(
        pue=pue, embodied_kg=kg, embodied_years=4.0, embodied_count=2.0, sci_unit="user", sci_units=units
    )
    factor = Factor(grams, grams / 2, grams * 2, "s", "d", "r")
    found = account(settings, factor, energy_j=energy_kwh * 3.6e6, duration_s=hours * 3600).figures
    embodied = 2 * kg * 1000 * hours / (4 * 365.25 * 24)
    assert found["co2e_g"] == pytest.approx(energy_kwh * grams)  # PUE is in no figure but its own
    assert found.get("overhead_g", 0.0) == pytest.approx(energy_kwh * grams * (pue - 1), abs=1e-12 * energy_kwh * grams)
    assert found["embodied_g"] == pytest.approx(embodied)
    assert found["sci_g"] == pytest.approx((energy_kwh * pue * grams + embodied) / units)
    assert (found["sci_unit"], found["sci_units"], found["pue"]) == ("user", units, pue)


def test_gpus_are_known_by_name_and_others_are_not_guessed() -> None:
    auto = CarbonSection(embodied="auto")
    cards = ["NVIDIA H100 80GB HBM3"] * 2
    two = account(auto, None, energy_j=None, duration_s=3600.0, gpus=cards)
    assert two.figures["embodied_g"] == pytest.approx(embodied_g(embodied_for("gpu"), 3600, count=2))
    assert "EcoLogits" in two.figures["embodied_source"]
    for gpus in (["NVIDIA GeForce RTX 4060 Laptop GPU"], []):
        none = account(auto, None, energy_j=None, duration_s=3600.0, gpus=gpus)
        assert none.figures == {}
        assert "rack-server" in none.warnings[0]


def test_every_device_of_the_table_can_be_named_and_has_a_source() -> None:
    for name, device in DEVICES.items():
        assert build(CarbonSection, {"embodied": name}, "x").embodied == name
        assert device.source


@pytest.mark.parametrize(
    ("table", "parts"),
    [
        ({"embodied": "gpv"}, ["embodied", "'gpv'", "did you mean 'gpu'", "rack-server"]),
        ({"embodied": "gpu", "embodied_kg": 3.0, "embodied_years": 1.0}, ["embodied_kg = 3", "one of them"]),
        ({"embodied_kg": 3.0}, ["embodied_kg = 3", "embodied_years"]),
        ({"embodied_kg": -3.0}, ["embodied_kg = -3.0", "negative"]),
        ({"embodied_years": 3.0}, ["embodied_years", "embodied_kg"]),
        ({"embodied": "auto", "embodied_count": 2}, ["embodied_count = 2", "name the device"]),
        ({"sci_unit": "user", "embodied": "gpu"}, ["sci_unit = 'user'", "sci_units", "audio_hour"]),
        ({"sci_unit": "trial"}, ["sci_unit = 'trial'", "embodied"]),
        ({"sci_units": 2.0}, ["sci_units = 2", "sci_unit"]),
        ({"sci_unit": "user", "sci_units": 0, "embodied": "gpu"}, ["sci_units = 0", "above 0"]),
        ({"live_zome": "FR"}, ["live_zome", "live_zone"]),
    ],
)
def test_a_wrong_key_is_named_with_what_was_found_and_what_is_allowed(table: dict[str, Any], parts: list[str]) -> None:
    with pytest.raises(ConfigError, match=r"suite\.toml \[carbon\]") as caught:
        build(CarbonSection, table, "suite.toml [carbon]")
    assert all(part in str(caught.value) for part in parts), caught.value


def test_sci_is_operational_plus_embodied_per_unit() -> None:
    assert sci(30.0, 10.0, 4) == 10.0
    with pytest.raises(ConfigError, match="functional units"):
        sci(1.0, 1.0, 0)


def test_the_tables_are_read_without_importing_codecarbon() -> None:
    code = (
        "import sys; from greenbench.carbon import factor_for; factor_for('FRA'); "
        "print('codecarbon' in sys.modules, 'pandas' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False False"
