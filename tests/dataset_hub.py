"""A hub of data sets and models on loopback: as much of its interface as `datasets` and `huggingface_hub` ask for."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

COMMIT = "a" * 40


class DatasetHub:
    """Use as a context manager. files: of each repository and revision, contents by path: {"org/name": {"main": {"train.jsonl": b"..."}}}.

    faults: repositories that answer with a status (401 and 403: gated, 429), or "cut": every file breaks off half-way. token: what opens a gated one.
    """

    def __init__(self, files: dict[str, dict[str, dict[str, bytes]]], faults: dict[str, int | str] | None = None, token: str = "") -> None:
        self.files, self.asked, self.faults, self.token = files, list[str](), faults or {}, token
        self.created: dict[str, Any] = {}
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def __enter__(self) -> DatasetHub:
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()

    def answer(self, method: str, path: str, body: bytes, key: str = "") -> tuple[int, Any]:
        """(status, JSON value or bytes) of a request. key: the token that it shows."""
        self.asked.append(f"{method} {path}")
        parts = [unquote(part) for part in urlsplit(path).path.strip("/").split("/")]
        name = "/".join(parts[2:4] if parts[0] == "api" else parts[1:3] if parts[0] == "datasets" else parts[:2])
        fault = self.faults.get(name)
        if isinstance(fault, int) and not (self.token and key == self.token):
            return fault, {"error": "Access to model is restricted" if fault in (401, 403) else "Too many requests"}
        if method == "POST" and (made := self._pushed(name, parts, body, key)) is not None:
            return made
        if parts[:2] in (["api", "datasets"], ["api", "models"]):
            return self._about(name, parts[4:], body, "recursive=true" in path.lower())
        parts = parts[1:] if parts[0] == "datasets" else parts
        if parts[2:3] == ["resolve"]:
            content = self._tree(name, parts[3]).get("/".join(parts[4:]))
            return (404, {"error": "Entry not found"}) if content is None else (200, content)
        return 404, {"error": "Not found"}

    def _pushed(self, name: str, parts: list[str], body: bytes, key: str) -> tuple[int, Any] | None:
        """What a push asks for: a repository, how files are sent, a commit. None where it is no push."""
        if parts == ["api", "validate-yaml"]:
            return 200, {"errors": [], "warnings": []}
        if parts == ["api", "repos", "create"]:
            wanted = json.loads(body)
            repository = "/".join(filter(None, (wanted.get("organization"), wanted["name"])))
            if not self.token or key != self.token:
                return 403, {"error": "Forbidden"}
            self.created[repository] = wanted
            self.files.setdefault(repository, {"main": {"README.md": b""}})
            return 200, {"url": f"{self.url}/{repository}", "name": repository}
        if parts[:2] != ["api", "models"]:
            return None
        if parts[4:5] == ["preupload"]:
            return 200, {
                "files": [{"path": each["path"], "uploadMode": "regular", "shouldIgnore": False} for each in json.loads(body)["files"]]
            }
        if parts[4:5] == ["commit"]:
            for line in body.splitlines():
                sent = json.loads(line)
                if sent["key"] == "file":
                    self.files[name]["main"][sent["value"]["path"]] = base64.b64decode(sent["value"]["content"])
            return 200, {"commitUrl": f"{self.url}/{name}/commit/{'c' * 40}", "commitOid": "c" * 40, "hookOutput": ""}
        return None

    def commit(self, path: str) -> str:
        """The commit of a file that is asked for."""
        parts = [unquote(part) for part in urlsplit(path).path.strip("/").split("/")]
        return COMMIT if parts[0] == "datasets" or parts[2:3] != ["resolve"] else self.sha("/".join(parts[:2]), parts[3])

    def _about(self, name: str, more: list[str], body: bytes, deep: bool) -> tuple[int, Any]:
        if name not in self.files:
            return 404, {"error": "Repository not found"}
        revision = more[1] if len(more) > 1 else "main"
        tree = self._tree(name, revision)
        if not tree:
            return 404, {"error": "Revision not found"}
        if more[:1] == ["tree"]:
            return 200, _listed(tree, "/".join(more[2:]), deep)
        if more[:1] == ["paths-info"]:
            wanted = json.loads(body)["paths"] if body[:1] == b"{" else []
            return 200, [_entry(path, tree[path]) for path in wanted if path in tree]
        if more[:1] in ([], ["revision"]):
            siblings = [{"rfilename": path} for path in sorted(tree)]
            sha = self.sha(name, revision)
            return 200, {
                "id": name,
                "sha": sha,
                "private": False,
                "gated": False,
                "disabled": False,
                "tags": [],
                "downloads": 0,
                "siblings": siblings,
                "lastModified": "2026-01-02T03:04:05.000Z",
            }
        return 404, {"error": "Not found"}

    def sha(self, name: str, revision: str) -> str:
        """The commit of a branch or tag."""
        return revision if len(revision) == 40 else hashlib.sha1(f"{name}@{revision}".encode(), usedforsecurity=False).hexdigest()

    def _tree(self, name: str, revision: str) -> dict[str, bytes]:
        revisions = self.files.get(name, {})
        return revisions.get(revision) or next((tree for known, tree in revisions.items() if self.sha(name, known) == revision), {})

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        owner = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self._answer("GET")

            def do_HEAD(self) -> None:
                self._answer("HEAD")

            def do_POST(self) -> None:
                self._answer("POST")

            def _answer(self, method: str) -> None:
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                status, made = owner.answer(method, self.path, body, (self.headers.get("authorization") or "").removeprefix("Bearer "))
                data = made if isinstance(made, bytes) else json.dumps(made).encode()
                first, last = 0, len(data) - 1
                if status == 200 and isinstance(made, bytes) and (asked := self.headers.get("range", "")).startswith("bytes="):
                    start, _, end = asked.removeprefix("bytes=").partition("-")
                    first, last = int(start), min(int(end), last) if end else last
                    status = 206
                self.send_response(status)
                self.send_header("content-type", "application/octet-stream" if isinstance(made, bytes) else "application/json")
                self.send_header("etag", f'"{hashlib.sha256(data).hexdigest()}"')
                self.send_header("x-repo-commit", owner.commit(self.path))
                self.send_header("accept-ranges", "bytes")
                if status == 206:
                    self.send_header("content-range", f"bytes {first}-{last}/{len(data)}")
                if status in (401, 403):
                    self.send_header("x-error-code", "GatedRepo")
                if status == 404 and isinstance(made, dict):
                    kinds = {
                        "Repository not found": "RepoNotFound",
                        "Revision not found": "RevisionNotFound",
                        "Entry not found": "EntryNotFound",
                    }
                    self.send_header("x-error-code", kinds.get(made["error"], "EntryNotFound"))
                self.send_header("content-length", str(last + 1 - first))
                self.end_headers()
                if method != "HEAD":
                    sent = data[first : last + 1]
                    if "cut" in owner.faults.values() and owner.faults.get("/".join(self.path.strip("/").split("/")[:2])) == "cut":
                        self.close_connection = True
                        sent = sent[: len(sent) // 2]
                    self.wfile.write(sent)

            def log_message(self, *_: object) -> None:
                pass

        return Handler


def _listed(tree: dict[str, bytes], folder: str, deep: bool) -> list[dict[str, Any]]:
    """What stands in a folder, and in the folders in it where `deep`."""
    start = f"{folder}/" if folder else ""
    below = {path: content for path, content in sorted(tree.items()) if path.startswith(start)}
    folders = {start + path[len(start) :].split("/")[0] for path in below if "/" in path[len(start) :]}
    files = [_entry(path, content) for path, content in below.items() if deep or "/" not in path[len(start) :]]
    return [{"type": "directory", "path": each, "size": 0, "oid": "0" * 40} for each in sorted(folders)] + files


def _entry(path: str, content: bytes) -> dict[str, Any]:
    return {"type": "file", "path": path, "size": len(content), "oid": hashlib.sha1(content, usedforsecurity=False).hexdigest()}
