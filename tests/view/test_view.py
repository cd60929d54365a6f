"""All runs of a folder in a browser: what is listed, shown, put side by side, refused; and the real thing in a real browser."""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from command import luthier
from luthier.cli.view import draw
from luthier.errors import SettingsError
from luthier.records.locks import FileLock
from luthier.view.app import AGAIN, ROWS, application
from luthier.view.catalogue import Catalogue, flat
from luthier.view.settings import ViewSettings
from run_folders import drawn, run_folder

pytest.importorskip("starlette", reason="the extra `serve` is not installed")
HOSTILE = "<script>alert(1)</script>"
RATE = {"correct": 5, "items": 10, "rate": 0.5, "low": 0.24, "high": 0.76}


def scores(rate: float) -> dict[str, Any]:
    line = {
        "category": "simple_python",
        "decoding": "free",
        "items": 10,
        "official": {**RATE, "rate": rate},
        "strict": RATE,
        "forms": {},
        "unread": 0,
    }
    return {"answers": {"scores": [line], "benchmark": "b", "form": "brackets"}}


def answers(right: list[bool]) -> list[dict[str, Any]]:
    return [
        {
            "id": f"q{at}",
            "category": "c",
            "decoding": "free",
            "model": "m",
            "question": f"Q{at}",
            "answer": f"A{at}",
            "reason": "",
            "truth": "t",
            "official": one,
            "strict": one,
        }
        for at, one in enumerate(right)
    ]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name, rate, when in (("old", 0.5, "2026-01-01T10:00:00Z"), ("new", 0.8, "2026-01-02T10:00:00Z")):
        right = [True] * 30 if name == "new" else [True, False] * 15
        run = run_folder(
            tmp_path / "deep" / name,
            "evaluate tools",
            scores(rate),
            {"model": f"model-{name}", "items": []},
            {"answers.jsonl": answers(right)},
            started=when,
        )
        drawn(run, draw)
    run_folder(tmp_path / "deep" / "new" / "part", "train sft", {"train": {"steps": 3}}, started="2026-01-02T11:00:00Z")
    return tmp_path


class Answered:
    def __init__(self, status: int, headers: dict[str, str], text: str) -> None:
        self.status, self.headers, self.text = status, headers, text


def get(root: Path, url: str, host: str = "127.0.0.1:1", method: str = "GET") -> Answered:
    """One request to the application, as a server would hand it over."""
    split = urlsplit(url)
    scope = {
        "type": "http",
        "method": method,
        "path": split.path,
        "raw_path": split.path.encode(),
        "query_string": split.query.encode(),
        "headers": [(b"host", host.encode())],
        "http_version": "1.1",
        "scheme": "http",
        "server": ("127.0.0.1", 1),
        "client": ("127.0.0.1", 2),
        "root_path": "",
    }
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    asyncio.run(application(root, draw)(scope, receive, send))
    headers = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return Answered(sent[0]["status"], headers, b"".join(message.get("body", b"") for message in sent[1:]).decode())


def test_runs_are_listed_the_newest_first_with_their_parts_below(root: Path) -> None:
    runs = Catalogue(root).runs()
    assert [(run.path, run.depth) for run in runs] == [("deep/new", 0), ("deep/new/part", 1), ("deep/old", 0)]
    assert (runs[0].name, runs[0].status, runs[0].model, runs[0].seconds) == ("evaluate tools", "done", "model-new", 1.5)
    assert runs[0].title == "Function calling"
    shown = get(root, "/").text
    assert shown.index("deep/new") < shown.index("deep/old")


@pytest.mark.parametrize(
    ("words", "found"), [("", 3), ("NEW", 2), ("evaluate old", 1), ("train done", 1), ("model-old", 1), ("no such", 0), ("%", 0)]
)
def test_the_list_is_filtered_by_words(root: Path, words: str, found: int) -> None:
    assert sum(run.holds(words) for run in Catalogue(root).runs()) == found
    assert f"{found} of 3 below" in get(root, f"/?q={words.replace(' ', '+').replace('%', '%25')}").text


def test_a_run_that_goes_on_is_drawn_anew_and_asks_again(root: Path) -> None:
    going = run_folder(root / "going", "evaluate tools", {}, status="running")
    with FileLock(going.path / ".lock", "going"):
        first = get(root, "/run/going")
        assert "This run is still going on." in first.text
        assert first.headers["refresh"] == str(AGAIN)
        assert "refresh" in get(root, "/").headers
    stopped = get(root, "/run/going")
    assert "This run was stopped." in stopped.text
    assert "refresh" not in stopped.headers
    assert not (going.path / "report.html").exists()


def test_a_finished_run_is_shown_as_it_was_drawn(root: Path) -> None:
    shown = get(root, "/run/deep/new")
    assert shown.text == (root / "deep" / "new" / "report.html").read_text()
    assert shown.headers["content-security-policy"].startswith("default-src 'none'")
    run_folder(root / "sum", "compare", {"other": {"n": 1}})
    assert "<h1>Compared</h1>" in get(root, "/run/sum").text  # never drawn before
    assert "its page cannot be drawn" in get(root, "/run/deep/new/part").text  # results that its page does not know
    strange = run_folder(root / "strange", "bake cake", {"oven": {"heat": 200}})
    assert get(root, "/run/strange").status == 200
    assert strange.name == "bake cake"


def test_rows_come_a_page_at_a_time(root: Path) -> None:
    first = get(root, "/rows/deep/new?file=answers.jsonl").text
    assert first.count('<pre class="row">') == ROWS
    assert "further rows" in first
    assert "earlier rows" not in first
    last = get(root, f"/rows/deep/new?file=answers.jsonl&from={ROWS}").text
    assert last.count('<pre class="row">') == 10
    assert "Row 30" in last
    assert "earlier rows" in last
    assert "No rows from 101 on" in get(root, "/rows/deep/new?file=answers.jsonl&from=100").text
    assert "answers.jsonl" in get(root, "/rows/deep/new").text
    assert get(root, "/rows/deep/new?file=run.json").status == 404
    assert get(root, "/rows/deep/new?file=../old/answers.jsonl").status == 404


def test_dialogues_are_shown_as_talk_and_damaged_rows_are_told(root: Path) -> None:
    row = {"id": "d1", "messages": [{"role": "user", "content": HOSTILE}], "tools": []}
    run = run_folder(root / "talk", "synthesize tools", {}, rows={"checked.jsonl": [row]})
    with (run.path / "checked.jsonl").open("a") as file:
        file.write("{oops\n")
    shown = get(root, "/rows/talk?file=checked.jsonl").text
    assert 'class="turn user"' in shown
    assert HOSTILE not in shown
    assert "&lt;script&gt;" in shown
    assert "checked.jsonl:2" in shown


def searches(count: int) -> dict[str, list[dict[str, Any]]]:
    """Searches as `search run` keeps them: a root, a thought that was rethought, and one that nobody looked at."""

    def edge(thought: str, node: int | None, former: list[str]) -> dict[str, Any]:
        return {"thought": thought, "former": former, "prior": 0.6, "returns": 1, "best": 1.0, "node": node}

    nodes = [
        {"number": 0, "visits": 2, "candidates": [], "feedback": "", "edges": [edge(HOSTILE, 1, ["halve it"]), edge("add one", None, [])]},
        {"number": 1, "visits": 1, "candidates": [0], "feedback": "Block by block", "edges": []},
    ]
    tried = {"tests": [{"kind": "wrong_answer", "detail": "f(2) == 4", "shown": "f gave 3"}]}
    program = {"number": 0, "how": "written", "program": "def f(x): ...", "reward": 0.5, "estimate": None, "tried": tried}
    spent = {"calls": 4, "tokens": 90}
    row = {"answer": 0, "passes_public": False, "stopped": "calls", "program": "def f(x): ...", "candidates": 1, "spent": spent}
    tasks = [f"t/{number}" for number in range(count)]
    return {
        "searches.jsonl": [{"task": task, **row, "tree": {"nodes": nodes}} for task in tasks],
        "programs.jsonl": [{"task": task, **program} for task in tasks],
        "scores.jsonl": [{"task": task, "private": False} for task in tasks],
    }


TRACE = {
    **{"question": HOSTILE, "options": ["no", "yes"], "answer": 1, "group": "g", "place": "", "number": 0, "chain": "c", "steps": ["So."]},
    **{"statement": "yes", "stated": 1, "ends": [3], "conf": [[0.6, 0.4], [0.2, 0.8]], "mass": [0.9, 0.8], "probe": "letters"},
    **{"mode": "packed", "tokens": 8, "forwarded": 20, "naive": 60},
}


def test_each_search_is_a_tree_and_each_chain_a_heat_map(root: Path) -> None:
    run_folder(root / "sought", "search run", {}, rows=searches(ROWS + 5))
    run_folder(root / "probed", "probe run", {}, rows={"traces.jsonl": [TRACE, {"question": "of another version"}]})
    shown = get(root, "/").text
    assert '/rows/sought?file=searches.jsonl">trees' in shown
    assert '/rows/probed?file=traces.jsonl">heat-maps' in shown
    tree = get(root, f"/rows/sought?file=searches.jsonl&from={ROWS}").text  # behind those that the run's own page draws
    assert tree.count('<ul class="tree">') == 5
    for told in (
        "t/24",
        "<del>halve it</del>",
        "&lt;script&gt;",
        "add one",
        "program 1, written",
        "f gave 3",
        "Block by block",
        "as it is stored",
    ):
        assert told in tree
    assert HOSTILE not in tree
    heat = get(root, "/rows/probed?file=traces.jsonl").text
    assert heat.count('<table class="heat">') == 1
    assert "Chain 1" in heat
    assert ">80<" in heat
    assert "ends right" in heat
    assert HOSTILE not in heat
    assert "of another version" in heat  # as it is stored
    (root / "sought" / "programs.jsonl").unlink()
    assert get(root, "/rows/sought?file=searches.jsonl").text.count('<ul class="tree">') == ROWS


def test_two_runs_stand_side_by_side(root: Path) -> None:
    shown = get(root, "/side?run=deep/old&run=deep/new&file=answers.jsonl").text
    assert "model-old" in shown
    assert "answers: scores.simple_python free.official" in shown
    assert "80\u202f% (24–76)" in shown
    assert "30 rows that both have" in shown
    assert shown.index("q1 free") < shown.index("q0 free")  # those that differ stand first
    for wrong in ("run=deep/old", "run=deep/old&run=deep/old", "run=a&run=b&run=c"):
        assert get(root, f"/side?{wrong}").status == 400
    assert get(root, "/side?run=deep/old&run=nowhere").status == 404


def test_rows_that_cannot_stand_side_by_side_are_told(root: Path) -> None:
    for name in ("one", "two"):
        rows = [{"id": "a", "n": name}, {"id": "a", "n": 2}, {"id": "b", "n": 3}]
        run = run_folder(root / name, "synthesize tools", {}, rows={"rows.jsonl": rows, "odd.jsonl": [{"x": 1}]})
        with (run.path / "rows.jsonl").open("a") as file:
            file.write("{oops\n")
    shown = get(root, "/side?run=one&run=two&file=rows.jsonl").text
    assert "rows.jsonl: 1 rows have the id of another" in shown
    assert "rows.jsonl:4" in shown
    assert "2 rows that both have" in shown
    assert "none can be put beside another" in get(root, "/side?run=one&run=two&file=odd.jsonl").text


def test_results_are_flat_and_rates_stay_whole() -> None:
    value = {"scores": [{"category": "a", "rate_of": RATE, "n": 3}, 7], "deep": {"x": {"y": 1}}}
    assert dict(flat(value)) == {"scores.a.category": "a", "scores.a.rate_of": RATE, "scores.a.n": 3, "scores.2": 7, "deep.x.y": 1}


@pytest.mark.parametrize(
    "path", ["/run/../secret", "/run/%2e%2e/secret", "/run//etc", "/run/link", "/run/nowhere", "/rows/../secret", "/run/a%00b"]
)
def test_nothing_outside_the_folder_is_shown(root: Path, path: str) -> None:
    secret = run_folder(root.parent / f"{root.name}-secret", "train sft", {"train": {"steps": 1}})
    (root / "link").symlink_to(secret.path, target_is_directory=True)
    (root.parent / "secret").symlink_to(secret.path, target_is_directory=True) if not (root.parent / "secret").exists() else None
    assert get(root, path.replace("%00", "\0").replace("%2e", ".")).status == 404
    assert [run.path for run in Catalogue(root).runs() if "link" in run.path] == []


def test_names_from_outside_are_text(root: Path) -> None:
    run_folder(root / f"x{HOSTILE.replace('/', '_')}", HOSTILE, {}, {"model": HOSTILE})
    shown = get(root, "/").text
    assert "<script>" not in shown
    assert "&lt;script&gt;alert(1)" in shown


def test_a_record_that_cannot_be_read_is_in_the_list(root: Path) -> None:
    (root / "broken").mkdir()
    (root / "broken" / "run.json").write_text('{"luthier": oops')
    shown = get(root, "/").text
    assert "cannot be read" in shown
    assert "not JSON" in shown
    assert get(root, "/run/broken").status == 404


def test_only_this_machine_can_ask_and_only_look(root: Path) -> None:
    assert get(root, "/", host="evil.example").status == 400
    assert get(root, "/", host="localhost:80").status == 200
    assert get(root, "/", method="POST").status == 405
    for host in ("10.0.0.0", "192.168.0.4", "example.org", ""):
        with pytest.raises(SettingsError, match="on this machine alone"):
            ViewSettings(host=host)
    assert ViewSettings(host="::1").host == "::1"


def test_misuse_is_one_line(tmp_path: Path) -> None:
    assert "no such folder" in luthier("view", tmp_path / "nowhere", ok=False).stderr
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert "cannot listen on 127.0.0.1" in luthier("view", tmp_path, "--port", taken.getsockname()[1], ok=False).stderr


@pytest.fixture
def address(root: Path) -> Iterator[str]:
    """A real server on a free port, of runs of every kind that is drawn."""
    import uvicorn

    run_folder(root / "sought", "search run", {}, rows=searches(3))
    run_folder(root / "probed", "probe run", {}, rows={"traces.jsonl": [TRACE]})
    talk = {"id": "d1", "messages": [{"role": "user", "content": "hello"}], "tools": []}
    run_folder(root / "talk", "synthesize tools", {}, rows={"checked.jsonl": [talk]})

    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(application(root, draw), log_level="warning"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [door]})
        thread.start()
        yield f"http://127.0.0.1:{door.getsockname()[1]}"
        server.should_exit = True
        thread.join()


@pytest.mark.skipif(
    shutil.which("chromium") is None or shutil.which("chromedriver") is None,
    reason="chromium and chromedriver are not installed (Debian: chromium, chromium-driver)",
)
@pytest.mark.parametrize("width", [1280, 390])
def test_a_browser_finds_its_way_by_keyboard_and_loads_nothing(address: str, tmp_path_factory: pytest.TempPathFactory, width: int) -> None:
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys
    from selenium.webdriver.support.ui import WebDriverWait

    options = webdriver.ChromeOptions()
    options.binary_location = str(shutil.which("chromium"))
    for flag in (
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--no-first-run",
        f"--user-data-dir={tmp_path_factory.mktemp('profile')}",
    ):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
    try:
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)

        def fits() -> None:
            assert driver.execute_script("return document.scrollingElement.scrollWidth") <= width
            assert driver.execute_script("return performance.getEntriesByType('resource').length") == 0
            assert driver.get_log("browser") == []

        driver.get(address)
        fits()
        driver.switch_to.active_element.send_keys("evaluate", Keys.ENTER)  # the filter has the focus
        WebDriverWait(driver, 20).until(lambda at: "q=evaluate" in at.current_url)  # a form is sent in its own time
        boxes = driver.find_elements(By.CSS_SELECTOR, "input[type=checkbox]")
        assert len(boxes) == 2
        for box in boxes:
            box.send_keys(Keys.SPACE)
        boxes[1].send_keys(Keys.ENTER)
        assert "/side?" in driver.current_url
        fits()
        driver.find_element(By.LINK_TEXT, "answers.jsonl").send_keys(Keys.ENTER)
        assert "30 rows that both have" in driver.find_element(By.TAG_NAME, "main").text
        fits()
        for link, selector in (("trees", "ul.tree details"), ("heat-maps", "table.heat"), ("checked dialogues", ".turn")):
            driver.find_element(By.LINK_TEXT, "all runs").send_keys(Keys.ENTER)
            driver.find_element(By.LINK_TEXT, link).send_keys(Keys.ENTER)
            assert driver.find_element(By.CSS_SELECTOR, selector).is_displayed()
            fits()
            if link == "trees":
                below = driver.find_elements(By.CSS_SELECTOR, "ul.tree ul details > summary")[0]
                assert not driver.find_element(By.CSS_SELECTOR, "ul.tree ul pre").is_displayed()
                below.send_keys(Keys.ENTER)
                assert driver.find_element(By.CSS_SELECTOR, "ul.tree ul pre").is_displayed()
        driver.find_element(By.LINK_TEXT, "all runs").send_keys(Keys.ENTER)
        driver.find_element(By.LINK_TEXT, "deep/new").send_keys(Keys.ENTER)
        assert "Function calling" in driver.title
    finally:
        driver.quit()


def test_what_was_read_stays_known_until_it_changes(root: Path) -> None:
    catalogue = Catalogue(root)
    before = catalogue.runs()
    assert all(one is other for one, other in zip(before, catalogue.runs(), strict=True))
    record = json.loads((root / "deep" / "old" / "run.json").read_text())
    record["settings"]["model"] = "another model"
    (root / "deep" / "old" / "run.json").write_text(json.dumps(record))
    assert [run.model for run in catalogue.runs()] == ["model-new", "", "another model"]
