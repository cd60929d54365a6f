"""A Modelfile's template against the chat template that it stands for: turns, tools, calls and what tools answer, in Python and, where Go is, in Go."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from luthier.errors import EngineError
from luthier.models.chat_template import ChatTemplate
from luthier.models.modelfile import go_template, modelfile, told_of_tools
from luthier.models.modelfile_tools import apart, written_arguments
from luthier.models.modelfile_turns import turns_of
from luthier.records import JSON
from stock_templates import STOCK, stock, tokenizer_with

EXACT = ["qwen2_5", "llama3", "gemma", "gemma3", "phi3", "lfm2"]
WITH_TOOLS = ["qwen2_5", "qwen3", "llama3", "gemma", "gemma3", "phi3", "lfm2"]


def tool(name: str, properties: dict[str, Any], **more: Any) -> JSON:
    schema = {"type": "object", "properties": properties, **({"required": sorted(properties)} if properties else {}), **more}
    return {"type": "function", "function": {"name": name, "description": f'To {name}, "quickly".', "parameters": schema}}


PLAIN = tool("book", {"city": {"type": "string", "description": "Where."}, "class": {"type": "string", "enum": ["one", "two"]}})
TALK: list[JSON] = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Rain & <sun> in Lisbon?"},
    {
        "role": "assistant",
        "content": "",
        "tool_calls": [{"type": "function", "function": {"name": "book", "arguments": a}} for a in ({"city": "Lisbon"}, {})],
    },
    {"role": "tool", "content": "yes", "name": "book"},
    {"role": "tool", "content": '{"rain": 3}', "name": "book"},
    {"role": "assistant", "content": "Yes."},
    {"role": "user", "content": "日本語?"},
    {
        "role": "assistant",
        "content": "I see.",
        "tool_calls": [{"type": "function", "function": {"name": "book", "arguments": {"city": "x", "n": 1.5}}}],
    },
    {"role": "tool", "content": "no", "name": "book"},
]


def template_of(name: str) -> ChatTemplate:
    return ChatTemplate.of(tokenizer_with(stock(name)))


@pytest.mark.parametrize("name", STOCK)
def test_a_modelfile_writes_turns_as_the_template_does_or_is_refused(name: str) -> None:
    template = template_of(name)
    try:
        turns = turns_of(template)
    except EngineError as problem:
        assert name not in EXACT, problem
        assert "llama.cpp" in str(problem) or "Modelfile" in str(problem)
        return
    talk = [{"role": role, "content": f"{role}, what?"} for role in ("user", "assistant", "user")]
    assert turns.render(talk) == template.render(talk, generate=True)
    assert turns.tools is (name in WITH_TOOLS)
    assert bool(turns.why_not) is not turns.tools
    text = modelfile(turns, "model.gguf", stops=["<|im_end|>"], context=2048, license="MIT")
    assert text.startswith('FROM ./model.gguf\nTEMPLATE """{{-')
    assert 'PARAMETER stop "<|im_end|>"' in text
    assert (".ToolCalls" in text) is turns.tools


@pytest.mark.parametrize("name", WITH_TOOLS)
def test_tools_calls_and_answers_stand_in_the_prompt_byte_for_byte(name: str) -> None:
    template, turns = template_of(name), turns_of(template_of(name))
    for start in (0, 1):  # with a system turn and without
        for end in (2, 5, 7, 9):
            for tools in ([], [PLAIN], [PLAIN, tool("cancel", {})]):
                assert turns.render(TALK[start:end], tools) == template.render(TALK[start:end], tools, generate=True)


def test_what_ollama_cannot_write_is_named() -> None:
    def reason(properties: dict[str, Any], **more: Any) -> str:
        return apart(tool("f", properties, **more))

    assert apart(PLAIN) == ""
    assert (
        reason({"a": {"type": "string", "format": "date"}}, additionalProperties=False) == "Ollama leaves out additionalProperties, format"
    )
    assert reason({}, required=[]) == "Ollama leaves out what is empty"
    assert reason({"b": {"type": "string"}, "a": {"type": "string"}}) == "Ollama writes keys in another order"
    assert reason({"a": {"type": "array", "items": {"type": "string"}}}) == "Ollama writes schemas of lists and objects without spaces"
    assert reason({"a": {"type": "string", "description": "x < y"}}) == "Ollama writes < > & as \\u003c \\u003e \\u0026"
    assert written_arguments({"b": [1, {"c": 2.0}], "a": "<"}) == '{"a": "\\u003c", "b": [1,{"c":2}]}'
    turns = turns_of(template_of("qwen2_5"))
    assert "Of the 2 of the run's data 1 stand in a prompt byte for byte as trained; 1 x Ollama leaves out format" in told_of_tools(
        turns, [PLAIN, tool("f", {"a": {"type": "string", "format": "date"}})]
    )
    assert told_of_tools(turns_of(template_of("llama3_2")), []).startswith(
        "not in the Modelfile: the chat template does not write tools as JSON"
    )


def test_the_template_is_the_one_that_was_run_in_go() -> None:
    """Without Go the text alone is held: `test_go_writes_what_the_turns_say` ran it."""
    assert go_template(turns_of(template_of("qwen2_5"))) == (Path(__file__).parent / "qwen2_5.gotmpl").read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("go") is None, reason="Go is not installed (Debian's golang-go)")
def test_go_writes_what_the_turns_say(tmp_path: Path) -> None:
    odd = tool(
        "find", {"b": {"type": "array", "items": {"type": "string"}}, "a": {"type": "number", "format": "x"}}, additionalProperties=False
    )
    cases, expected = [], []
    for name in WITH_TOOLS:
        turns = turns_of(template_of(name))
        for start in (0, 1):
            for end in (2, 5, 7, 9):
                for tools in ([], [PLAIN], [PLAIN, odd]):
                    cases.append({"template": go_template(turns), "messages": TALK[start:end], "tools": tools})
                    expected.append(turns.render(TALK[start:end], tools))
    (tmp_path / "main.go").write_text(GO, encoding="utf-8")
    made = subprocess.run(["go", "run", tmp_path / "main.go"], input=json.dumps(cases), capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    for case, found, wanted in zip(cases, json.loads(made.stdout), expected, strict=True):
        assert found["text"] == wanted, case["messages"]
        assert found["tag"].strip() == "<tool_call>"


# Ollama's own reading of a request, in small: its fields, its function json, system turns collected, and where it looks for the beginning of a call.
GO = """package main

import (
	"encoding/json"
	"os"
	"strings"
	"text/template"
	"text/template/parse"
)

type Property struct {
	AnyOf       []Property `json:"anyOf,omitempty"`
	Type        any        `json:"type,omitempty"`
	Items       any        `json:"items,omitempty"`
	Description string     `json:"description,omitempty"`
	Enum        []any      `json:"enum,omitempty"`
}
type Parameters struct {
	Type       string              `json:"type"`
	Required   []string            `json:"required,omitempty"`
	Properties map[string]Property `json:"properties"`
}
type Function struct {
	Name        string     `json:"name"`
	Description string     `json:"description,omitempty"`
	Parameters  Parameters `json:"parameters"`
}
type Tool struct {
	Type     string   `json:"type"`
	Function Function `json:"function"`
}
type Call struct {
	Function struct {
		Name      string         `json:"name"`
		Arguments map[string]any `json:"arguments"`
	} `json:"function"`
}
type Message struct {
	Role      string `json:"role"`
	Content   string `json:"content"`
	ToolCalls []Call `json:"tool_calls"`
}
type Case struct {
	Template string     `json:"template"`
	Messages []*Message `json:"messages"`
	Tools    []Tool     `json:"tools"`
}

func text(nodes []parse.Node) string {
	for _, node := range nodes {
		switch n := node.(type) {
		case *parse.TextNode:
			return string(n.Text)
		case *parse.RangeNode:
			return text(n.List.Nodes)
		default:
			return ""
		}
	}
	return ""
}

func tag(nodes []parse.Node) (string, bool) {
	for _, node := range nodes {
		switch n := node.(type) {
		case *parse.IfNode:
			for _, command := range n.Pipe.Cmds {
				for _, argument := range command.Args {
					if field, ok := argument.(*parse.FieldNode); ok && field.Ident[0] == "ToolCalls" {
						return strings.Split(strings.TrimSpace(text(n.List.Nodes)), "{")[0], true
					}
				}
			}
			if found, ok := tag(n.List.Nodes); ok {
				return found, true
			}
			if n.ElseList != nil {
				if found, ok := tag(n.ElseList.Nodes); ok {
					return found, true
				}
			}
		case *parse.RangeNode:
			if found, ok := tag(n.List.Nodes); ok {
				return found, true
			}
		}
	}
	return "", false
}

func main() {
	var cases []Case
	if err := json.NewDecoder(os.Stdin).Decode(&cases); err != nil {
		panic(err)
	}
	functions := template.FuncMap{"json": func(v any) string { b, _ := json.Marshal(v); return string(b) }}
	made := []map[string]string{}
	for _, each := range cases {
		t := template.Must(template.New("").Option("missingkey=zero").Funcs(functions).Parse(each.Template))
		var b strings.Builder
		if err := t.Execute(&b, map[string]any{"Messages": each.Messages, "Tools": each.Tools, "System": "", "Response": ""}); err != nil {
			panic(err)
		}
		found, _ := tag(t.Tree.Root.Nodes)
		made = append(made, map[string]string{"text": b.String(), "tag": found})
	}
	json.NewEncoder(os.Stdout).Encode(made)
}
"""
