"""The pages of `luthier view` as an ASGI application: the list, a run's page, its rows, two runs side by side.

Only GET; every path is looked up below the folder that is shown; pages carry a policy that lets nothing be loaded from elsewhere. A page
of a run that goes on is drawn anew at each visit, and asks for itself again.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from luthier.errors import LuthierError, SettingsError
from luthier.records.choices import LETTERS
from luthier.records.files import SkippedRows, read_rows
from luthier.report import wording
from luthier.report.page import Page, environment, render
from luthier.run import RunRecord
from luthier.run.listening import listen
from luthier.run.record import REPORT
from luthier.view.catalogue import Catalogue, artefacts, flat
from luthier.view.pictures import pictures
from luthier.view.settings import ViewSettings

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response

Draw = Callable[[RunRecord], Page | None]
ROWS = 20  # on a page
AGAIN = 5  # seconds after which a page of a run that goes on asks again
_KEYS = ("id", "item", "task", "task_id", "question")  # by which rows of two runs are the same
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
_HEADERS = {
    "content-security-policy": _POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
}


def application(root: Path, draw: Draw, hosts: tuple[str, ...] = ("127.0.0.1", "localhost", "[::1]")) -> Starlette:
    """draw: the page of a run, None for a run of no known command. Raises SettingsError where `root` is no folder."""
    from starlette.applications import Starlette
    from starlette.middleware import Middleware
    from starlette.middleware.trustedhost import TrustedHostMiddleware
    from starlette.routing import Route

    if not root.is_dir():
        raise SettingsError(f"{root}: no such folder; give one that holds run folders")
    view = _View(Catalogue(root), draw)
    routes = [Route("/", view.index), Route("/run/{path:path}", view.run), Route("/rows/{path:path}", view.rows), Route("/side", view.side)]
    return Starlette(routes=routes, middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=list(hosts))])


class _View:
    def __init__(self, catalogue: Catalogue, draw: Draw) -> None:
        self.catalogue, self.draw = catalogue, draw
        self._environment = environment().overlay()
        more = {"url": lambda text: quote(str(text), safe="/"), "shown": _shown}
        self._environment.filters = {**self._environment.filters, **more}

    def index(self, request: Request) -> Response:
        words = request.query_params.get("q", "")
        runs = self.catalogue.runs()
        found = [run for run in runs if run.holds(words)]
        counts = {status: sum(run.status == status for run in runs) for status in ("running", "done", "failed", "stopped")}
        again = AGAIN * 2 if any(run.status == "running" for run in found) else None
        return self._page(
            "index", "Runs", again=again, runs=found, all=len(runs), words=words, counts=counts, root=self.catalogue.root.name
        )

    def run(self, request: Request) -> Response:
        """The page of a run: the stored one where the run has ended, else as it stands now."""
        run = self.catalogue.find(request.path_params["path"])
        if run is None:
            return self._missing(request.path_params["path"])
        stored = run.path / REPORT
        if run.status == "done" and stored.is_file() and not stored.is_symlink():
            return _html(stored.read_text(encoding="utf-8", errors="replace"))
        again = AGAIN if run.status == "running" else None
        return _html(self._drawn(run), again=again)

    def _drawn(self, run: RunRecord) -> str:
        """The page as it stands; the record alone where the command is not known, or has written other results than its page wants."""
        bare = Page(run.name or "Run")
        try:
            return render(self.draw(run) or bare, run)
        except Exception as problem:  # another version's results, or half of a row: what is there is shown all the same
            run.problems.append(f"its page cannot be drawn ({type(problem).__name__}: {problem})")
            return render(bare, run)

    def rows(self, request: Request) -> Response:
        """Rows of one of a run's files, a page at a time."""
        path, name = request.path_params["path"], request.query_params.get("file", "")
        run = self.catalogue.find(path)
        if run is None:
            return self._missing(path)
        files = artefacts(run)
        if not name:
            return self._page("rows", f"Rows of {path}", path=path, files=files, file="", rows=[], at=0, more=False, problems=[])
        if name not in [file for file, _ in files]:
            return self._missing(f"{path}/{name}")
        at = _number(request.query_params.get("from"))
        skipped = SkippedRows()
        try:
            found = [row for _, row in islice(read_rows(run.path / name, skipped), at, at + ROWS + 1)]
        except (LuthierError, OSError) as problem:
            found, skipped.problems = [], [*skipped.problems, str(problem)]
        rows = [
            {"picture": picture, "text": json.dumps(row, indent=1, ensure_ascii=False)}
            for row, picture in zip(found[:ROWS], pictures(run, name, found[:ROWS], at), strict=True)
        ]
        more, problems = len(found) > ROWS, skipped.problems[:ROWS]
        shown: dict[str, Any] = {"rows": rows, "at": at, "more": more, "problems": problems, "letters": LETTERS, "page_rows": ROWS}
        return self._page("rows", f"{name} of {path}", path=path, files=files, file=name, **shown)

    def side(self, request: Request) -> Response:
        """Two runs: settings, results, and the rows of a file that both have, by their ids."""
        paths = request.query_params.getlist("run")
        if len(paths) != 2 or paths[0] == paths[1]:
            return self._page("message", "Two runs", status=400, text="Choose two runs of the list, not one and not three.")
        runs = [self.catalogue.find(path) for path in paths]
        lost = next((path for path, run in zip(paths, runs, strict=True) if run is None), None)
        if lost is not None:
            return self._missing(lost)
        left, right = (run for run in runs if run is not None)
        files = sorted({file for file, _ in artefacts(left)} & {file for file, _ in artefacts(right)})
        name = request.query_params.get("file", "")
        at = _number(request.query_params.get("from"))
        pairs, problems = _pairs(left.path / name, right.path / name) if name in files else ([], [])
        return self._page(
            "side",
            f"{paths[0]} beside {paths[1]}",
            paths=paths,
            settings=_beside(dict(flat(left.settings)), dict(flat(right.settings))),
            results=_beside(_results(left), _results(right)),
            files=files,
            file=name if name in files else "",
            pairs=pairs[at : at + ROWS],
            problems=problems,
            count=len(pairs),
            at=at,
            page_rows=ROWS,
        )

    def _page(self, template: str, title: str, *, again: int | None = None, status: int = 200, **values: Any) -> Response:
        html = self._environment.get_template(f"view/{template}.html.j2").render(title=title, **values)
        return _html(html, again=again, status=status)

    def _missing(self, path: str) -> Response:
        return self._page("message", "Not there", status=404, text=f"There is no run at {path} below the folder that is shown.")


def _html(text: str, *, again: int | None = None, status: int = 200) -> Response:
    from starlette.responses import HTMLResponse

    return HTMLResponse(text, status, _HEADERS | ({} if again is None else {"refresh": str(again)}))


def _number(text: str | None) -> int:
    return int(text) if text is not None and text.isascii() and text.isdigit() and len(text) < 10 else 0


def _results(run: RunRecord) -> dict[str, object]:
    """Numbers and rates of all steps, by their names."""
    found = {f"{name}: {key}": value for name, step in run.steps.items() for key, value in flat(step.get("results") or {})}
    return {key: value for key, value in found.items() if isinstance(value, int | float | dict) and not isinstance(value, bool)}


def _beside(left: dict[str, object], right: dict[str, object]) -> list[tuple[str, object, object, bool]]:
    """(name, left, right, whether they differ), those that differ first."""
    rows = [(name, left.get(name), right.get(name), left.get(name) != right.get(name)) for name in dict.fromkeys([*left, *right])]
    return sorted(rows, key=lambda row: not row[3])


def _pairs(left: Path, right: Path) -> tuple[list[tuple[str, str, str, bool]], list[str]]:
    """(key, row, row, whether they differ) of two files, by the first of the usual names that all rows have, those that differ first; and what of
    the files is not shown."""
    skipped = SkippedRows()
    try:
        tables = [[row for _, row in read_rows(path, skipped)] for path in (left, right)]
    except (LuthierError, OSError) as problem:
        return [], [str(problem)]
    key = next((name for name in _KEYS if all(name in row for rows in tables for row in rows)), None)
    if key is None:
        return [], [*skipped.problems[:ROWS], f"the rows have none of {', '.join(_KEYS)} in common, so none can be put beside another"]
    sides = [{f"{row[key]} {row.get('decoding', '')}".strip(): row for row in rows} for rows in tables]
    told = [
        f"{path.name}: {len(rows) - len(side)} rows have the {key} of another"
        for path, rows, side in zip((left, right), tables, sides, strict=True)
        if len(side) < len(rows)
    ]
    names = [name for name in sides[0] if name in sides[1]]
    rows = [(name, *(json.dumps(side[name], indent=1, ensure_ascii=False) for side in sides)) for name in names]
    return sorted(((name, one, other, one != other) for name, one, other in rows), key=lambda row: not row[3]), [
        *skipped.problems[:ROWS],
        *told,
    ]


def _shown(value: object) -> str:
    if isinstance(value, dict):
        return wording.rate({"items": 1, **value})
    if value is None:
        return "–"
    return wording.number(value) if isinstance(value, int | float) and not isinstance(value, bool) else str(value)


def serve(settings: ViewSettings, draw: Draw, tell: Callable[[str], None]) -> None:
    """Serve until a signal. Raises SettingsError where the extra is absent, the folder is none or the port is taken."""
    try:
        import uvicorn
    except ImportError:
        raise SettingsError("viewing needs starlette and uvicorn: pip install 'luthier[serve]'") from None
    app = application(Path(settings.folder), draw)
    with listen(settings.host, settings.port) as door:
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        tell(f"http://{host}:{door.getsockname()[1]} shows the runs below {settings.folder}")
        config = uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=5)
        uvicorn.Server(config).run(sockets=[door])
