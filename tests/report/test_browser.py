"""The page in a real Chromium: errors, requests, sorting, filtering, accessibility, overlaps."""

from __future__ import annotations

from importlib import resources
from typing import Any

import pytest

from greenbench.report import ReportPaths

pytestmark = pytest.mark.slow

WIDTHS = (1280, 390)
SCHEMES: tuple[Any, ...] = ("light", "dark")

OVERLAPS = """() => {
  const found = [];
  for (const svg of document.querySelectorAll("svg.figure")) {
    const texts = [...svg.querySelectorAll("text")].map((t) => [t.textContent, t.getBoundingClientRect()]);
    const frame = svg.getBoundingClientRect();
    const name = svg.getAttribute("aria-labelledby");
    texts.forEach(([a, p], i) => {
      if (p.left < frame.left - 2 || p.right > frame.right + 2 || p.top < frame.top - 2 || p.bottom > frame.bottom + 2)
        found.push(`${name}: ${a} is cut`);
      texts.slice(i + 1).forEach(([b, q]) => {
        const width = Math.min(p.right, q.right) - Math.max(p.left, q.left);
        const height = Math.min(p.bottom, q.bottom) - Math.max(p.top, q.top);
        if (width > 2 && height > 4) found.push(`${name}: ${a} / ${b}`);
      });
    });
  }
  return found;
}"""


pytestmark = pytest.mark.slow


@pytest.fixture(params=[(w, s) for w in WIDTHS for s in SCHEMES], ids=lambda p: f"{p[0]}-{p[1]}")
def page(request: pytest.FixtureRequest, browser: Any, report: ReportPaths) -> Any:
    width, scheme = request.param
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page = context.new_page()
    page.complaints, page.requests = [], []
    page.on("console", lambda message: page.complaints.append(message.text))
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    page.on("request", lambda request: page.requests.append(request.url))
    page.goto(report.html.as_uri())
    yield page
    context.close()


def test_it_loads_without_errors_or_requests_and_fits_the_window(page: Any, report: ReportPaths) -> None:
    assert page.complaints == []
    assert [url for url in page.requests if not url.startswith("data:")] == [report.html.as_uri()]
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_no_label_of_a_figure_overlaps_another_or_is_cut(page: Any) -> None:
    assert page.evaluate(OVERLAPS) == []


@pytest.mark.parametrize("page", [(1280, "light"), (390, "dark")], indirect=True, ids=["1280-light", "390-dark"])
def test_axe_finds_no_serious_fault(page: Any) -> None:
    pytest.importorskip("axe_playwright_python", reason="pip install axe-playwright-python for axe-core")
    page.evaluate("document.querySelectorAll('details').forEach((d) => (d.open = true))")
    axe = (resources.files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8")
    page.evaluate(axe)  # not as a script element: the page's policy would be right to refuse it
    # A fault put there on purpose shows that the rules run.
    page.evaluate("document.querySelector('footer').innerHTML = '<button></button>'")
    violations = page.evaluate("axe.run({resultTypes: ['violations']})")["violations"]
    grave = {
        v["id"]: [node["html"][:120] for node in v["nodes"]]
        for v in violations
        if v["impact"] in ("serious", "critical")
    }
    assert grave == {"button-name": ["<button></button>"]}


def test_columns_sort_by_value_both_ways_with_absent_last(page: Any) -> None:
    table = page.get_by_role("region", name="All trials").locator("table")
    head = table.locator("thead th", has_text="Energy").first
    column = head.evaluate("head => head.cellIndex")

    def values() -> list[float | None]:
        return table.evaluate(
            "(t, c) => [...t.tBodies[0].rows].map((r) => r.cells[c].dataset.value).map((v) => v === undefined ? "
            "null : +v)",
            column,
        )

    before = [v for v in values() if v is not None]
    for falling in (False, True):
        head.locator("button").click()
        now = values()
        present = [v for v in now if v is not None]
        assert present == sorted(before, reverse=falling)
        assert all(v is None for v in now[len(present) :])
        assert head.get_attribute("aria-sort") == ("descending" if falling else "ascending")


def test_the_filter_hides_rows(page: Any) -> None:
    field = page.locator("#trials ~ .filter input")
    field.fill("hubert 4")
    rows = page.get_by_role("region", name="All trials").locator("tbody tr:visible")
    texts = rows.all_inner_texts()
    assert texts
    assert all("hubert" in t for t in texts)
    field.fill("")
    assert rows.count() == 25


def test_hovering_a_mark_shows_its_figures(page: Any) -> None:
    mark = page.locator('svg[aria-labelledby^="tradeoff-t"] .tip').last
    mark.scroll_into_view_if_needed()
    mark.hover(force=True)
    tip = page.locator("#tip")
    assert tip.is_visible()
    assert "%" in tip.inner_text()


def test_it_can_be_read_without_javascript_and_printed(browser: Any, report: ReportPaths) -> None:
    context = browser.new_context(java_script_enabled=False, viewport={"width": 900, "height": 900})
    page = context.new_page()
    page.goto(report.html.as_uri())
    assert page.locator("th button").count() == 0
    assert page.locator(".filter").count() == 0
    page.locator("summary").first.click()
    page.emulate_media(media="print")
    assert not page.locator(".bar").is_visible()
    assert page.pdf().startswith(b"%PDF")
    context.close()


def test_on_a_telephone_the_energy_stands_beside_the_error_without_scrolling(browser: Any, report: ReportPaths) -> None:
    page = browser.new_page(viewport={"width": 390, "height": 844})
    page.goto(report.html.resolve().as_uri())
    right_px = page.evaluate(
        """() => {
          const head = [...document.querySelectorAll('#comparison ~ .scroll thead th')]
            .find(cell => cell.textContent.includes('Training energy'));
          const column = head.cellIndex, table = head.closest('table');
          return Math.max(...[...table.rows].map(row => row.cells[column].getBoundingClientRect().right));
        }"""
    )
    page.close()
    assert right_px <= 390
