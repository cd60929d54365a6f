"""Names and descriptions a small model can read: snake_case names, plain text without HTML or Markdown, one sentence."""

from __future__ import annotations

import html
import re
import unicodedata
from functools import lru_cache

from luthier.records import JSON
from luthier.synthesize.tools.lint import says_enough

TOOL_WORDS = 200
PARAMETER_WORDS = 160

_WORDS = re.compile(
    r"IPv[46]|OAuth2?|[Cc][Rr][Cc]32[Cc]|A2A|sSL(?=[A-Z])|(?:(?<![A-Za-z])[ei]|E)(?:Tags?|Commerce|Cal)(?![a-z])|"
    r"[A-Z]{2,}s(?![a-z])|[A-Z]+[0-9]*(?=[A-Z][a-z])|[A-Z]?[a-z]+[0-9]*|[A-Z]+[0-9]*|[0-9]+"
)
_ASIDES = re.compile(r"<(note|important|caution|dl|ul|ol|table|pre)\b.*?(</\1>|$)", re.DOTALL | re.IGNORECASE)
_LABEL = re.compile(r"\s*+<p>\s*+<b>[^<]*:\s*+</b>[^<]*+</p>", re.IGNORECASE)
_BREAKS = re.compile(r"</?(p|br|li|div|h\d|ul|ol|dl|dt|dd|note|important|fullname)\b[^>]*>", re.IGNORECASE)
_TAGS = re.compile(r"</?[a-zA-Z][^<>]*>")
_LINKS = re.compile(r"!?\[([^\]\[\n]*+)\]\([^)(\s]*+\)")
_MARKS = re.compile(r"`+|\*\*+|={3,}|(?:^|(?<=\s))#++\s|^[^\S\n]*+[-*]\s++|\*(?=\w[^*\n]*+\*)|(?<=[\w:])\*(?=\s)", re.MULTILINE)
_RETIRED = re.compile(
    r"\W*(deprecated|reserved|not (currently )?(supported|used)|this (field|property|parameter|operation|data type) is deprecated)",
    re.IGNORECASE,
)
_CLIPPED = 700  # characters read of a long text; the first sentence lies within
_SENTENCE_END = re.compile(r"[.!?][\"')\]]?(?=\s)|(?<=[a-z])\.(?=[A-Z][a-z]*\s)|[。！？]")
_ABBREVIATION = re.compile(r"(?:\b(?:e\.g|i\.e|etc|vs|approx|incl|No|St|Dr|Inc|cf|U\.S|v\d+)|\b[A-Z])\.$")
_SHORTEST = 12


def snake_case(name: str) -> str:
    """`DBInstanceIds` -> `db_instance_ids`; anything but letters and digits separates words."""
    return "_".join(word.lower() for word in _WORDS.findall(name)) or name


def spoken(name: str) -> str:
    """A name in plain words, for want of a description: `firstName` -> "First name."."""
    words = snake_case(name).replace("_", " ").strip()
    return words[:1].upper() + words[1:] + "."


def named_words(text: str, *names: str) -> tuple[str, str]:
    """The description of a tool in one plain sentence, and how it was made where the text says too little; it then stands before the name.

    names: what the tool is called, the best first, `getUser` or `get /users/{id}`.
    """
    words = tool_words(text)
    if says_enough(words):
        return words, ""
    told = [spoken(name) for name in names if name]
    named = next((one for one in told if says_enough(one)), f"Call {told[0].lower()}")
    stem = words.rstrip(".!?…。！？")
    if not any(letter.isalnum() for letter in stem):
        return named, "without a description, told by its name"
    if stem.lower() in named.lower().rstrip(".").split():
        return named, "with a description of one word, told by its name"
    return f"{stem}: {named[:1].lower()}{named[1:]}", "with a description of one word, told with its name"


def described(parameters: JSON) -> JSON:
    """The same parameters; one without a description gets its own name in plain words."""
    properties = {
        name: schema if schema.get("description") else {**schema, "description": spoken(name)}
        for name, schema in parameters["properties"].items()
    }
    return {**parameters, "properties": properties}


def plain_text(text: str) -> str:
    """Text without HTML, Markdown marks and line breaks; notes and lists are left out where something else remains."""
    label = _LABEL.match(text)  # "This API works with: ..." before the description proper
    clipped = text[label.end() if label else 0 :][:_CLIPPED]
    without = _stripped(_ASIDES.sub(" ", clipped)) if "<" in clipped else ""
    return without if len(without) >= _SHORTEST else _stripped(clipped)


def first_sentence(text: str, limit: int) -> str:
    """The first sentence, at most `limit` characters; a longer one ends at a clause or at a word."""
    for end in _SENTENCE_END.finditer(text):
        if end.end() >= _SHORTEST and not _ABBREVIATION.search(text[: end.end()]):
            text = text[: end.end()]
            break
    text = text.strip()
    if len(text) > limit:
        return _clipped(text, limit)
    return _sentence(text.rstrip(":,; "))


@lru_cache(maxsize=16384)
def parameter_words(text: str) -> str:
    """The description of a parameter: one plain sentence."""
    return first_sentence(plain_text(text), PARAMETER_WORDS)


def tool_words(text: str) -> str:
    """The description of a tool: one plain sentence."""
    return first_sentence(plain_text(text), TOOL_WORDS)


def is_retired(words: str) -> bool:
    """Whether a description says that the thing should no longer be used."""
    return _RETIRED.match(words) is not None


def _stripped(text: str) -> str:
    if "<" in text:
        text = _TAGS.sub("", _BREAKS.sub(" ", text))
    text = html.unescape(text) if "&" in text else text
    text = _LINKS.sub(r"\1", text) if "](" in text else text
    text = _MARKS.sub("", text) if any(mark in text for mark in "`*#=-") else text
    return " ".join(text.split())


def _sentence(text: str) -> str:
    """With a capital at the start, unless it is a name like `iSCSI`, and a full stop at the end."""
    word = text.split(" ", 1)[0]
    if word.isalpha() and word.islower():
        text = text[0].upper() + text[1:]
    if not text or text[-1] in ".!?…。！？":
        return text
    return text + ("。" if unicodedata.east_asian_width(text[-1]) in "WF" else ".")


def _clipped(text: str, limit: int) -> str:
    room = text[: limit - 1]
    clause = max(room.rfind(mark) for mark in (", ", "; ", " (", ": "))
    if clause >= limit // 2 and room.count("(", 0, clause) == room.count(")", 0, clause):
        return room[:clause] + "."
    return room[: room.rfind(" ")].rstrip(" ,;:(") + "…" if " " in room else room + "…"
