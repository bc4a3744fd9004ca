from __future__ import annotations

import json
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenbench.carbon import (
    Factor,
    embodied_for,
    embodied_g,
    emissions_g,
    factor_for,
    known_regions,
    live_factor,
    read_hourly,
    sci,
    with_pue,
)
from greenbench.errors import ConfigError


@pytest.mark.parametrize(
    ("region", "grams"),
    [("FRA", 56.039), ("fra", 56.039), ("FR", 56.039), ("USA-CA", 394.769 * 0.45359237), ("SE1", 25.9),
     ("CHN-BJ", 555.4), ("gcp:africa-south1", 646), ("aws:eu-west-3", 56.039)],
)  # fmt: skip
def test_regions_give_the_tables_figure_with_source_and_range(region, grams):
    factor = factor_for(region)
    assert factor.g_per_kwh == pytest.approx(grams)
    assert factor.low_g_per_kwh < factor.g_per_kwh < factor.high_g_per_kwh
    assert factor.source


def test_every_known_region_resolves_to_a_sane_range():
    regions = known_regions()
    assert len(regions) > 250
    for region in regions:
        factor = factor_for(region)
        assert 0 <= factor.low_g_per_kwh <= factor.g_per_kwh <= factor.high_g_per_kwh < 2000, region


def test_no_region_means_no_figure():
    assert factor_for(None) is None
    assert factor_for("  ") is None


@pytest.mark.parametrize("region", ["FRX", "USA-XX", "gcp:europe-west99", "FRA-75", "ZZ", "CAN-XX", "aws:"])
def test_an_unknown_region_is_refused_in_one_line(region):
    with pytest.raises(ConfigError, match=r"carbon\.region") as caught:
        factor_for(region)
    assert "\n" not in str(caught.value)


def test_the_users_own_figure_wins_over_the_tables():
    assert factor_for("FRA", 52.0).g_per_kwh == 52.0
    assert factor_for(None, 0.0).g_per_kwh == 0.0
    for wrong in (-1.0, float("nan"), float("inf")):
        with pytest.raises(ConfigError, match="intensity"):
            factor_for(None, wrong)


@given(st.floats(0, 1e12), st.floats(0, 2000))
def test_a_kilowatt_hour_is_worth_the_factor(energy_j, grams):
    factor = Factor(grams, grams / 2, grams * 2, "", "", "")
    middle, low, high = emissions_g(energy_j, factor)
    assert middle == pytest.approx(energy_j / 3_600_000 * grams)
    assert low <= middle <= high


def test_an_hourly_file_is_weighted_by_the_time_of_use(tmp_path):
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
def test_a_wrong_hourly_file_is_named_with_its_line(tmp_path, text):
    path = tmp_path / "grid.csv"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"grid\.csv"):
        read_hourly(path)
    with pytest.raises(ConfigError, match="none"):
        read_hourly(tmp_path / "none.csv")


class _Maps(BaseHTTPRequestHandler):
    def do_GET(self):
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

    def log_message(self, *_):
        pass


@pytest.fixture
def maps(monkeypatch):
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Maps)
    server.asked, server.code, server.value = [], 200, 47
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setenv("GREENBENCH_ELECTRICITYMAPS_URL", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("ELECTRICITYMAPS_API_KEY", "secret")
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_electricity_maps_is_asked_once_an_hour(maps, tmp_path):
    first = live_factor("FR", cache_dir=tmp_path, now_s=1000.0)
    assert first.g_per_kwh == 47
    assert "estimated" in first.source
    maps.value = 99
    assert live_factor("FR", cache_dir=tmp_path, now_s=4000.0) == first
    assert len(maps.asked) == 1
    assert maps.asked[0] == ("/v3/carbon-intensity/latest?zone=FR", "secret")
    assert live_factor("FR", cache_dir=tmp_path, now_s=5000.0).g_per_kwh == 99


def test_a_service_that_fails_leaves_the_cached_answer_with_a_remark(maps, tmp_path):
    live_factor("FR", cache_dir=tmp_path, now_s=0.0)
    maps.code = 500
    again = live_factor("FR", cache_dir=tmp_path, now_s=9000.0)
    assert again.g_per_kwh == 47
    assert "cached" in again.source
    with pytest.raises(ConfigError, match="nothing is cached"):
        live_factor("DE", cache_dir=tmp_path)


def test_a_refused_token_and_a_missing_one_are_told_apart(maps, tmp_path, monkeypatch):
    maps.code = 401
    with pytest.raises(ConfigError, match="HTTP 401"):
        live_factor("FR", cache_dir=tmp_path)
    monkeypatch.delenv("ELECTRICITYMAPS_API_KEY")
    with pytest.raises(ConfigError, match="needs a token"):
        live_factor("FR", cache_dir=tmp_path)


def test_embodied_carbon_is_spread_over_the_service_life():
    gpu = embodied_for("gpu")
    year_s = 365.25 * 86400
    assert embodied_g(gpu, 3 * year_s) == pytest.approx(164_000)
    assert embodied_g(gpu, 3600, count=8) == pytest.approx(8 * 164_000 / (3 * 365.25 * 24))
    with pytest.raises(ConfigError, match="gpu"):
        embodied_for("gpv")


def test_pue_is_applied_afterwards_and_never_below_one():
    assert with_pue(100.0, 1.58) == pytest.approx(158)
    for wrong in (0.9, float("nan"), 0.0):
        with pytest.raises(ConfigError, match="pue"):
            with_pue(100.0, wrong)


def test_sci_is_operational_plus_embodied_per_unit():
    assert sci(30.0, 10.0, 4) == 10.0
    with pytest.raises(ConfigError, match="functional units"):
        sci(1.0, 1.0, 0)


def test_the_tables_are_read_without_importing_codecarbon():
    code = (
        "import sys; from greenbench.carbon import factor_for; factor_for('FRA'); "
        "print('codecarbon' in sys.modules, 'pandas' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False False"
