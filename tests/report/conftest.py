from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from greenbench.report import ReportPaths, write_report
from tests.report.folders import write_run


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("runs") / "quickstart", hz=4, budget_s=20)


@pytest.fixture(scope="session")
def report(run_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> ReportPaths:
    return write_report([run_folder], tmp_path_factory.mktemp("report"), pdf=True)


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """A real Chromium: the system's, else the one that playwright installed."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="pip install playwright to test in a browser")
    path = os.environ.get("GREENBENCH_TEST_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    with sync_api.sync_playwright() as playwright:
        try:
            # Chromium's own sandbox needs user namespaces, which containers often lack.
            launched = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        except sync_api.Error as error:
            pytest.skip(f"no Chromium can be started ({str(error).splitlines()[0]}); install chromium")
        yield launched
        launched.close()
