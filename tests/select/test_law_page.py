"""`luthier select law`: what it prints, and that its page is whole, escaped, drawn to scale and loads nothing."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from luthier.cli.main import cli
from luthier.errors import BadRowError, MissingFileError, SettingsError
from luthier.select.entropy_law import expectation, law_of
from luthier.select.law_page import Series, law, version_chart
from luthier.select.ledger import Version, add_version
from luthier.select.settings import LawSettings

HISTORY = [
    Version(f"v{at}", "g", f"f{at}", 1000 + at, {"32K": ratio, "all": ratio * 1.25}, loss, metric=metric, bits_per_byte=loss / 3)
    for at, (ratio, loss, metric) in enumerate(
        [(3.60, 1.500, 6.1), (3.50, 1.512, 6.3), (3.41, 1.521, 6.4), (3.33, 1.534, 6.6), (3.30, 1.541, 6.7)], 1
    )
]
RISKY = Version("v6", "g", "f6", 1006, {"32K": 3.55, "all": 6.0}, 1.62)


NEXT = Version("v7", "g", "f7", 1007, {"32K": 3.35, "all": 4.2}, 1.53)


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    for version in [*HISTORY, replace(HISTORY[0], seed=1, loss=1.504, metric=None), RISKY]:
        add_version(tmp_path / "law.jsonl", version)
    add_version(tmp_path / "law.jsonl", NEXT)
    return tmp_path / "law.jsonl"


def test_each_version_has_its_alarms_and_its_metric_prediction_or_refusal(ledger: Path) -> None:
    group = law_of(ledger)[0].to_row()
    assert group["noise"] == {"spread": pytest.approx(0.004 / 2**0.5), "datasets": 1, "runs": 2}
    rows = group["versions"]
    assert [(row["name"], row["seed"]) for row in rows] == [*((f"v{at}", 0) for at in range(1, 6)), ("v1", 1), ("v6", 0), ("v7", 0)]
    assert [alarm["rule"] for alarm in rows[6]["alarms"]] == ["A+B", "long range"]
    assert not any(row["alarms"] for row in [*rows[:6], rows[7]])
    assert rows[-1]["prediction"]["versions"] == 5
    assert 6.3 < rows[-1]["prediction"]["metric"] < 6.7
    assert rows[6]["refusal"] == "L 1.620 is far from the finished versions (1.502 to 1.541)"
    assert "prediction" not in rows[0]
    assert rows[5]["refusal"] == "4 finished versions of this group; a prediction needs 5"
    assert json.loads(json.dumps(group)) == group


def test_what_is_expected_is_said_with_its_doubts() -> None:
    guess = {"metric": 6.25, "error": 0.125, "mean_error": 0.5, "versions": 5, "weights": [-1, -1], "outside": False}
    assert expectation({"metric": 6.0}) == "6"
    assert expectation({"metric": None, "prediction": guess}) == "predicted 6.25 ± 0.12"
    doubtful = {**guess, "mean_error": 0.1, "outside": True}
    told = "predicted 6.25 ± 0.12 (no better than the mean, ±0.1; beyond all finished versions)"
    assert expectation({"metric": None, "prediction": doubtful}) == told
    assert expectation({"metric": None, "refusal": "too few"}) == "no prediction: too few"


def test_the_command_prints_versions_alarms_and_the_refusal(ledger: Path) -> None:
    done = CliRunner().invoke(cli, ["select", "law", str(ledger), "--quiet"], catch_exceptions=False)
    lines = done.output.splitlines()
    assert done.exit_code == 0
    assert lines[0] == "group g; seed noise of L: ±0.003 (standard deviation, 2 runs of 1 data set)"
    assert lines[1].split() == ["version", "seed", "rows", "R", "32K", "R", "all", "L", "bits/byte", "metric"]
    assert lines[2].split() == ["v1", "0", "1,001", "3.600", "4.50", "1.500", "0.500", "6.1"]
    assert lines[7].split(maxsplit=7)[7] == "no prediction: 4 finished versions of this group; a prediction needs 5"
    assert lines[8].split(maxsplit=7)[7] == "no prediction: L 1.620 is far from the finished versions (1.502 to 1.541)"
    assert lines[9].startswith("  stop A+B: R up from 3.300 to 3.550 against v5")
    assert lines[10].startswith("  warn long range: R_all / R_32K up from 1.25 to 1.69")
    assert lines[11].split(maxsplit=7)[7].startswith("predicted 6.")
    assert len(lines) == 12
    machine = CliRunner().invoke(cli, ["select", "law", str(ledger), "--json"], catch_exceptions=False)
    assert json.loads(machine.output) == [group.to_row() for group in law_of(ledger)]


def test_an_empty_missing_or_damaged_ledger_is_said(tmp_path: Path) -> None:
    ledger, out = tmp_path / "law.jsonl", tmp_path / "law.html"
    with pytest.raises(MissingFileError):
        law_of(ledger)
    ledger.write_text("")
    done = CliRunner().invoke(cli, ["select", "law", str(ledger), "--out", str(out)], catch_exceptions=False)
    assert "no versions yet" in done.output
    assert "The ledger is empty" in out.read_text()
    ledger.write_text('{"name": "v"}\n')
    with pytest.raises(BadRowError, match=r"law.jsonl:1: no group"):
        law_of(ledger)


def test_the_ledger_is_never_drawn_over(ledger: Path) -> None:
    before = ledger.read_bytes()
    with pytest.raises(SettingsError, match="is read and would be written over"):
        law(LawSettings(str(ledger), out=str(ledger)))
    assert ledger.read_bytes() == before


def test_a_page_is_drawn_again_as_the_ledger_grows_and_no_other_file_is_drawn_over(ledger: Path, tmp_path: Path) -> None:
    page, other = tmp_path / "law.html", tmp_path / "notes.html"
    law(LawSettings(str(ledger), out=str(page)))
    before = page.read_text()
    add_version(ledger, replace(RISKY, group="h"))
    law(LawSettings(str(ledger), out=str(page)))
    assert "Group h" in page.read_text()
    assert "Group h" not in before
    other.write_text("<!doctype html><p>mine")
    with pytest.raises(SettingsError, match="is there already; choose another --out, or --replace"):
        law(LawSettings(str(ledger), out=str(other)))
    assert other.read_text() == "<!doctype html><p>mine"


def test_several_groups_are_told_apart(ledger: Path, tmp_path: Path) -> None:
    add_version(ledger, replace(RISKY, group="h"))
    assert [(group.group, len(group.versions)) for group in law_of(ledger)] == [("g", 8), ("h", 1)]
    law(LawSettings(str(ledger), out=str(tmp_path / "law.html")))
    assert "Group h" in (tmp_path / "law.html").read_text()


def test_the_page_loads_nothing_and_escapes_every_name(tmp_path: Path) -> None:
    ledger, out = tmp_path / "law<b>.jsonl", tmp_path / "law.html"
    add_version(ledger, replace(HISTORY[0], name="<script>alert(1)</script>"))
    add_version(ledger, replace(RISKY, name='"><img src=x>'))
    done = CliRunner().invoke(cli, ["select", "law", str(ledger), "--out", str(out)], catch_exceptions=False)
    assert done.output.splitlines()[-1] == str(out)
    html = out.read_text()
    assert "<script" not in html
    assert "<img" not in html
    assert "&lt;script&gt;alert(1)" in html
    assert re.findall(r'(?:src|href)="(?!data:)([^"]*)"', html) == []
    assert "http" not in html.replace("http-equiv", "")


def test_a_chart_has_its_known_places() -> None:
    """Values 0, 5, 10 on marks 0 to 10: thirds of the width, halves of the height."""
    html = str(version_chart(Series("R", "a note", [0.0, None, 10.0], width=0.0, guessed=[None, 5.0, None]), [False, False, True]))
    assert '<path class="joined" d="M16.67 100.00L83.33 0.00"/>' in html
    assert '<path class="version" d="M16.67 100.00h0"/>' in html
    assert '<path class="alarmed" d="M83.33 0.00h0"/>' in html
    assert '<path class="guess" d="M50.00 50.00h0"/>' in html
    assert "band" not in html
    assert 'aria-label="R, a note: version 1: 0; version 3: 10; version 2, predicted: 5"' in html
    assert str(version_chart(Series("R", "", [None, None]), [False, False])) == ""


@given(st.lists(st.none() | st.floats(-1e6, 1e6), min_size=1, max_size=60), st.floats(0, 10))
def test_every_value_lies_within_its_chart(values: list[float | None], width: float) -> None:
    html = str(version_chart(Series("L", "", values, width), [False] * len(values)))
    places = [float(each) for d in re.findall(r' d="([^"]+)"', html) for each in re.findall(r"-?\d+\.\d+", d)]
    assert all(-0.01 <= place <= 100.01 for place in places)
    assert html.count("h0") == sum(value is not None for value in values)
    if html:
        columns = html.split("x-axis")[1]
        assert 1 <= columns.count("<span") <= 8


LONG = "unbroken_" * 30


@pytest.mark.skipif(
    shutil.which("chromium") is None or shutil.which("chromedriver") is None,
    reason="chromium and chromedriver are not installed (Debian: chromium, chromium-driver)",
)
def test_the_page_fits_a_phone_and_a_desk_and_is_quiet(ledger: Path, tmp_path: Path) -> None:
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    for version in (replace(RISKY, name=LONG), replace(RISKY, group="h"), replace(RISKY, group="h", fingerprint="f8", loss=2.0)):
        add_version(ledger, version)
    out = tmp_path / "law.html"
    law(LawSettings(str(ledger), out=str(out)))
    options = webdriver.ChromeOptions()
    options.binary_location = str(shutil.which("chromium"))
    for flag in ("--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", f"--user-data-dir={tmp_path / 'profile'}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver: Any = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
    try:
        for width in (1280, 390):
            size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
            driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
            driver.get(out.as_uri())
            assert driver.execute_script("return innerWidth") == width
            assert driver.execute_script("return document.scrollingElement.scrollWidth") <= width
            assert driver.execute_script("return performance.getEntriesByType('resource').length") == 0
            assert driver.get_log("browser") == []
        assert driver.title == "Entropy law · Luthier"
    finally:
        driver.quit()
