"""``greenbench measure`` with every way to state the grid, and the hardware's own carbon."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from greenbench.carbon import Factor, Grid, read_hourly
from greenbench.config import CarbonSection
from greenbench.errors import ConfigError
from greenbench.metering.command import measure_command, print_table
from greenbench.metering.command_carbon import Grams
from greenbench.power.sources.options import Sampling

PYTHON = sys.executable
BUSY = "import time\nt = time.process_time()\nwhile time.process_time() - t < 0.3: pass\n"


@pytest.fixture
def grid_csv(tmp_path: Path) -> Path:
    """Write 100 g/kWh for the hours around now."""
    hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    rows = [f"{(hour + timedelta(hours=h)).isoformat()},100" for h in (-1, 0, 1)]
    path = tmp_path / "grid.csv"
    path.write_text("\n".join(["datetime,g_per_kwh", *rows]) + "\n")
    return path


class ElectricityMaps(ThreadingHTTPServer):
    """The service's answer, or its failure."""

    code = 200


class _Maps(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        assert isinstance(self.server, ElectricityMaps)
        self.send_response(self.server.code)
        self.end_headers()
        self.wfile.write(json.dumps({"carbonIntensity": 47, "datetime": "2025-01-01T00:00:00Z"}).encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def maps(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[ElectricityMaps]:
    server = ElectricityMaps(("127.0.0.1", 0), _Maps)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setenv("GREENBENCH_ELECTRICITYMAPS_URL", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("ELECTRICITYMAPS_API_KEY", "secret")
    monkeypatch.setenv("GREENBENCH_CACHE", str(tmp_path / "cache"))
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def greenbench(*options: str) -> subprocess.CompletedProcess[str]:
    command = [PYTHON, "-m", "greenbench", "measure", *options, "--", PYTHON, "-c", BUSY]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_every_part_of_the_emissions_is_in_the_json_and_in_the_table(grid_csv: Path) -> None:
    done = greenbench(
        "--json",
        "--hourly-csv",
        str(grid_csv),
        "--pue",
        "1.5",
        "--embodied",
        "rack-server",
        "--sci-unit",
        "request",
        "--sci-units",
        "10",
    )
    found = json.loads(done.stdout)
    grams = found["energy_j"] / 36_000
    assert found["co2e_g"] == pytest.approx(grams)
    assert found["overhead_g"] == pytest.approx(grams / 2)
    assert found["embodied_g"] == pytest.approx(1e6 * found["duration_s"] / (4 * 365.25 * 86400))
    assert found["sci_g"] == pytest.approx((1.5 * grams + found["embodied_g"]) / 10)
    assert (found["sci_unit"], found["sci_units"], found["pue"]) == ("request", 10, 1.5)
    assert "grid.csv" in found["carbon"]["source"]
    assert found["embodied"][0]["source"]


def test_the_table_names_the_factor_the_devices_and_the_unit(
    grid_csv: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    carbon = CarbonSection(hourly_csv=str(grid_csv), pue=1.2, embodied="server", sci_unit="run", sci_units=1.0)
    print_table(measure_command([PYTHON, "-c", BUSY], carbon=carbon))
    out = capsys.readouterr().out
    for part in ("emissions", "100 g/kWh", "hourly CSV grid.csv", "PUE 1.2", "1 x server", "SCI", "CO2e per run"):
        assert part in out, out


def test_a_live_zone_is_asked_and_a_failing_service_leaves_the_region(maps: ElectricityMaps) -> None:
    live = measure_command([PYTHON, "-c", BUSY], carbon=CarbonSection(live_zone="FR"))
    assert live["carbon"]["g_per_kwh"] == 47
    maps.code = 500
    instead = measure_command([PYTHON, "-c", BUSY], carbon=CarbonSection(live_zone="DE", region="DEU"))
    assert instead["carbon"]["region"] == "DEU"
    assert any("live_zone = 'DE'" in text for text in instead["warnings"])
    nothing = measure_command([PYTHON, "-c", "pass"], carbon=CarbonSection(live_zone="DE"))
    assert nothing["co2e_g"] is None
    assert any("name a region" in text for text in nothing["warnings"])


def test_a_budget_in_grams_stops_a_command_at_the_hours_of_the_csv(grid_csv: Path) -> None:
    carbon = CarbonSection(hourly_csv=str(grid_csv))
    endless = [PYTHON, "-c", "while True: pass"]
    found = measure_command(endless, budget=("grams_co2e", 1e-4), sampling=Sampling(tdp_w=100.0), carbon=carbon)
    assert found["stopped_by_budget"]
    assert found["co2e_g"] > 0.9e-4  # it stops by the live figure, which the journal may correct a little downwards


def test_a_budget_in_grams_is_refused_where_this_hour_is_unknown(tmp_path: Path) -> None:
    path = tmp_path / "old.csv"
    path.write_text("2020-01-01T00:00Z,100\n")
    with pytest.raises(ConfigError, match=r"old\.csv has no row for this hour"):
        measure_command(["true"], budget=("grams_co2e", 1.0), carbon=CarbonSection(hourly_csv=str(path)))


def test_grams_of_a_growing_energy_follow_the_hour(tmp_path: Path) -> None:
    path = tmp_path / "grid.csv"
    path.write_text("2025-01-01T00:00Z,100\n2025-01-01T01:00Z,300\n")
    hours = read_hourly(path)
    now = [hours.t_s[0]]
    grams = Grams(Grid(None, hours), clock=lambda: now[0])
    assert grams.of(3.6e6) == pytest.approx(100)
    now[0] += 3600
    assert grams.of(2 * 3.6e6) == pytest.approx(400)
    now[0] += 7200  # not covered: the last known hour holds on
    assert grams.of(3 * 3.6e6) == pytest.approx(700)
    assert Grams(Grid(Factor(50.0, 50.0, 50.0, "", "", ""))).of(3.6e6) == pytest.approx(50)


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        (["--embodied", "gpv"], ["embodied", "'gpv'", "did you mean 'gpu'"]),
        (["--pue", "0.5"], ["pue = 0.5", "1.0 or more"]),
        (["--hourly-csv", "/no/grid.csv"], ["/no/grid.csv", "datetime,g_per_kwh"]),
        (["--sci-unit", "request", "--embodied", "gpu"], ["--sci-unit request", "--sci-units N", "run"]),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else None,
)
def test_a_wrong_option_is_one_line_and_exit_2(options: list[str], parts: list[str]) -> None:
    done = greenbench(*options)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1, done.stderr
    assert all(part in done.stderr for part in parts), done.stderr
