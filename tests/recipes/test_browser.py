"""The report in a real browser: it fits, loads nothing and complains about nothing."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from report_run import STEPS, dialogue, run, write_records, write_rows, write_run

from luthier.recipes.tools_page import draw
from luthier.run import RunRecord
from luthier.trace import models_page
from run_folders import drawn
from trace_pages import change, evaluation_page, mastery_page, models_run, results

pytestmark = pytest.mark.skipif(
    shutil.which("chromium") is None or shutil.which("chromedriver") is None,
    reason="chromium and chromedriver are not installed (Debian: chromium, chromium-driver)",
)
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)
LONG = "unbroken_" * 60


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = str(shutil.which("chromium"))
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
    yield driver
    driver.quit()


@pytest.fixture(scope="module", params=["finished", "unfinished", "long words", "traced models", "mastery", "evaluated tracer"])
def report(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    if request.param == "traced models":
        found = results(30, 12)
        found |= {"changes": [change(LONG), change()], "concepts": [*found["concepts"][1:], LONG], "notes": [LONG]}
        found["learners"][1]["learner"] = LONG
        folder = tmp_path_factory.mktemp("traced")
        drawn(models_run(folder, found), models_page.draw)
        return folder / "report.html"
    if request.param in ("mastery", "evaluated tracer"):
        folder = tmp_path_factory.mktemp("tracer")
        if request.param == "mastery":
            mastery_page(folder, 34, [LONG, *(f"concept {number}" for number in range(30))])
        else:
            evaluation_page(folder, concept=LONG)
        return folder / "report.html"
    folder = write_run(tmp_path_factory.mktemp("run"), STEPS[:3] if request.param == "unfinished" else STEPS)
    if request.param == "long words":
        _stretch(folder)
    drawn(RunRecord.read(folder), draw)
    return folder / "report.html"


def _stretch(folder: Path) -> None:
    """Texts without a space in every place that takes text from outside."""
    records = run()
    records[""]["settings"][LONG] = LONG
    records[""]["command"] += LONG
    records["dialogues"]["steps"]["pool"]["results"]["sources"][LONG] = 1
    for part in ("before", "after"):
        for score in records[part]["steps"]["answers"]["results"]["scores"]:
            score["category"] += LONG
    write_records(folder, records)
    rows = [dialogue(number) for number in range(12)]
    for row in rows:
        row["type"] = row["messages"][1]["content"] = LONG
        row["tools"][0]["function"]["name"] = LONG
    write_rows(folder / "selected.jsonl", rows)
    answer = {
        "id": LONG,
        "category": LONG,
        "decoding": "free",
        "question": LONG,
        "answer": LONG,
        "official": False,
        "strict": False,
        "reason": LONG,
        "truth": LONG,
    }
    write_rows(folder / "after" / "answers.jsonl", [answer])


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_loads_nothing_and_is_quiet(browser: Any, report: Path, width: int, scheme: str) -> None:
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]})
    browser.get(report.as_uri())
    browser.execute_script("document.querySelectorAll('details').forEach(each => each.open = true)")
    assert browser.execute_script("return innerWidth") == width
    assert browser.execute_script("return document.scrollingElement.scrollWidth") <= width
    assert browser.execute_script("return performance.getEntriesByType('resource').length") == 0
    assert browser.get_log("browser") == []
    assert browser.title.endswith(" · Luthier")
    paper = browser.execute_script("return getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, paper.strip("rgb()").split(","))) > 380) == (scheme == "light")


def test_every_bar_is_as_long_as_its_rate(browser: Any, tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    drawn(RunRecord.read(folder), draw)
    browser.get((folder / "report.html").as_uri())
    lengths = browser.execute_script(
        "return [...document.querySelectorAll('svg.bars rect')].map(bar => bar.getBoundingClientRect().width"
        " / bar.ownerSVGElement.getBoundingClientRect().width)"
    )
    told = browser.execute_script("return [...document.querySelectorAll('svg.bars')].map(chart => chart.getAttribute('aria-label'))")
    rates = [float(part.split(": ")[1].split("\u202f")[0]) / 100 for label in told for part in label.split("; ")]
    assert lengths == pytest.approx(rates, abs=0.002)
