"""Lark as EBNF: what both have comes out the same, what EBNF has not is refused by name."""

from __future__ import annotations

import pytest

from luthier.errors import EngineError
from luthier.models.ebnf import ebnf
from luthier.models.grammar import FORMS, calls_grammar
from luthier.records import Tool


@pytest.mark.parametrize(
    ("lark", "expected"),
    [
        ('start: "a"', 'root ::= "a"'),
        ('start: ("a" | B)? c{0,3}', 'root ::= ( "a" | B )? c{0,3}'),
        ('start: "say \\"hi\\"\\n"', r'root ::= "say \"hi\"\n"'),
        ("start: /-?(0|[1-9][0-9]{0,11})/", 'root ::= ("-"? ( "0" | [1-9] [0-9]{0,11} ))'),
        ('start: /"[^"\\\\\\x00-\\x1f]{0,80}"/', r'root ::= ("\"" [^"\\\u0000-\u001f]{0,80} "\"")'),
        (r"start: /[^\n\[\]]+\.\d/", r'root ::= ([^\n\[\]]+ "." [0-9])'),
        (r"start: /[\w.^-]*/", r"root ::= ([A-Za-z0-9_.\^\-]*)"),
        (r"start: /[^<](.|\n)*/", r'root ::= ([^<] ( [^\n] | "\n" )*)'),
        ('start: "größe"? /é\\u00df/', 'root ::= ("grö" "ß" "e")? ("é" "ß")'),
        ("start: /[üa-fß]/", "root ::= ([a-füß])"),
        (
            'start: "def f(x):\\n" LINE (REST)?\nLINE: /[^\\n \\t#][^\\n]{0,200}\\n/',
            'root ::= "def f(x):\\n" LINE ( REST )?\nLINE ::= ([^\\n \\t#] [^\\n]{0,200} "\\n")',
        ),
        ("// a remark\n\nstart: TAIL\nTAIL: /x+/", 'root ::= TAIL\nTAIL ::= ("x"+)'),
    ],
)
def test_rules_literals_and_expressions_are_turned(lark: str, expected: str) -> None:
    assert ebnf(lark) == expected + "\n"


@pytest.mark.parametrize(
    "lark",
    [
        "start: /^a$/",
        "start: /(?=a)b/",
        "start: /(?i:a)/",
        r"start: /(a)\1/",
        r"start: /\bword/",
        "start: /abc/i",
        'start: "abc"i',
        'start: "\\x41"',
        r"start: /[\w-x]/",
        "start: /a+?/",
        "start: /a++/",
        "start: /[abc/",
        'start: "a" ~ 3',
        '%json {"type": "object"}',
        "%import common.WS",
        'start: <tool_call> "a"',
    ],
)
def test_what_ebnf_has_not_is_refused(lark: str) -> None:
    with pytest.raises(EngineError, match="cannot be written as EBNF"):
        ebnf(lark)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("text", [False, True])
def test_every_rule_of_a_grammar_of_calls_is_there_and_named_once(form: str, text: bool) -> None:
    schema = {"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "array", "items": {"type": "number"}}}}
    lark = calls_grammar([Tool("weather", "Weather.", schema)], calls=(1, 3), sentence=not text, text=text, form=form)
    names = [line.split(" ::= ")[0] for line in ebnf(lark).splitlines()]
    assert names == ["root", *(line.split(":")[0] for line in lark.splitlines()[1:] if line)]
    assert ("TEXT" in names) is text
