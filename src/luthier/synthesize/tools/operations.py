"""The user's own tools, ready to be talked about: what one asks for in words, which parameters there are, codes that its definitions show.

Unlike the facets of `real_tools`, an operation keeps all its parameters, as it is served.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from luthier.records import Tool
from luthier.synthesize.tools.drafts import parameters_of
from luthier.synthesize.tools.meanings import words_of
from luthier.synthesize.tools.own_texts import digits_in, example_in
from luthier.synthesize.tools.real_tools import base_form, verbs

MOST_WORDS = 16  # of a description that is taken as it stands
_MORE_VERBS = frozenset(
    """answer apply archive arrange ask assign attach block book borrow bring broadcast build buy calculate call cancel capture change charge check
    choose close collect compare confirm contact convert correct count deliver deny dispatch dispute draft edit eject end enrol enroll enter estimate evaluate
    exchange expire extend fetch file fill find finish fire flag forward freeze fulfil fulfill give hand hire hold inform inspect invoice issue join keep
    label lend let log look make mark measure message move note notify offer open order pair park pay pick place plan pledge prescribe price print propose
    quote raise rate reach reassign rebook reduce refer refill refund reject remind rent repair repeat reply report reprint request reschedule reserve
    resolve respond return review ring route schedule score see sell set settle ship show sign simulate solve sort split start subscribe suggest
    summarise summarize swap switch take tell test top track transfer trigger turn unblock undo unfreeze update upload use validate verify view void
    vote waive warn water withdraw work write""".split()  # noqa: SIM905
)
_READING = frozenset(
    ("get", "list", "show", "fetch", "find", "search", "read", "retrieve", "look", "view", "query", "describe", "download")
)
_NOUNS = frozenset(  # verbs that are nouns before a word such as "status": one orders things, and an order has a status
    """account address alarm balance bank batch budget build cache card case channel charter class clock code comment contact content contract cost count
    course credit crop date deal debit demand deposit design detail device diet discount document dose draft drug email event expense field fund grade
    group harvest heat host index insurance interest inventory invoice item job journal land lease level log market model name note number offer order
    page part permit phone plan plant play point poll pool post power price profile program project queue quiz range rank rate reserve report rent route
    rule sample score season seat service session shop signal site size snapshot source stage staff stock store stream style subject supply support
    survey tag target task tax team text time token tour track trade traffic train transport trip type user value visit volume voucher warehouse water
    weight zone""".split()  # noqa: SIM905
)
_AFTER_NOUN = re.compile(
    r"(by|per|at|status|history|data|levels?|balances?|details?|info|information|numbers?|names?|types?|cards?|summary|statistics|stats|zones?|rates?"
    r"|prices?|counts?|totals?|ids?|codes?|lists?|logs?|records?|reports?|settings|states?|metrics|values?|overview|catalogue?|index|quotes?|lookup)$"
)
_PHRASAL = {"login": "log in", "logout": "log out", "signin": "sign in", "signout": "sign out", "signup": "sign up", "checkin": "check in"}
_DETERMINER = re.compile(r"(?i)(an?|the|all|one|some|this|these|your|my|new|every|several|any|each)$")
_DONE = re.compile(r"\b(check|test|search|lookup|calculation|scan|report|export|import|sync|backup|diagnostic)$")
_CLAUSE = re.compile(r"(?:[,;:(]| using | which | that | when | so that | based on | given | by providing | for use | including | if )")
_ASIDE = re.compile(r"(includ|whole\b|optional|with\b|such\b|e\.g|by\b|for\b|using\b|if\b|so\b|where\b|as\b|in\b|from\b|either\b)")
_ARTICLE = re.compile(r"^(a|an|the|all|one|some|this|these|your|my|new|every)\b")


@dataclass(frozen=True)
class Operation:
    """A tool with what is needed to talk about it. ask: an imperative, "cancel a booking"; paths: of all parameters, nested ones too;
    words: of its name and description, in which values are understood; examples: codes by parameter name."""

    tool: Tool
    ask: str
    paths: tuple[str, ...]
    required: frozenset[str]
    words: str
    domain: str
    changes: bool

    @property
    def required_order(self) -> list[str]:
        """The required parameters in the order of the definition."""
        return [name for name in self.tool.parameters.get("properties") or {} if name in self.required]

    @property
    def name(self) -> str:
        return self.tool.name


def operation(tool: Tool) -> Operation:
    paths = tuple(parameters_of(tool.parameters))
    ask = imperative(tool)
    name = words_of(tool.name.rsplit(".", 1)[-1])
    domain = tool.source.rsplit(": ", 1)[-1]
    changes = re.match(r"(change|update|edit|modify|patch|set|adjust|replace|move|reschedule)\b", name) is not None
    return Operation(tool, ask, paths, frozenset(tool.parameters.get("required") or ()), f"{name} {ask}".lower(), domain, changes)


def examples_of(tools: Sequence[Tool]) -> dict[str, str]:
    """Codes that the descriptions of parameters show, by parameter name: what one operation shows holds for all of the API."""
    found: dict[str, str] = {}
    for tool in tools:
        for name, schema in (tool.parameters.get("properties") or {}).items():
            example = example_in(told := str(schema.get("description") or "")) or digits_in(told)
            if example and any(one.isdigit() for one in example):
                found.setdefault(name, example)
    return found


def imperative(tool: Tool) -> str:
    """What one asks for: the description's first sentence as an order, a noun phrase after "get the", or the words of the name."""
    name = words_of(tool.name.rsplit(".", 1)[-1]).split()
    first = re.split(r"(?<=[A-Za-z0-9)'\"])[.;](?:\s|$)|\n", tool.description.strip())[0].strip(" .")
    first = "" if "?" in first else re.sub(r"\bpaginated ", "", first)
    words = _shortened(first).split()
    if words and words[0].endswith(":"):  # "Login: post session." of an importer that had one word: what it is called says more
        words = [] if name and name[0] in _PHRASAL else words[1:]
    if len(words) >= 2:
        verb = _leading_verb(words[0].lower(), words[1].lower(), name)
        if verb is not None and not (len(words) == 2 and words[1].lower() in ("check", "test")):
            if len(words) == 2 and words[1].islower() and not words[1].endswith("s"):
                words.insert(
                    1, ("an" if words[1][0] in "aeiou" else "a") if verb in ("create", "add", "make", "open", "register", "book") else "the"
                )
            return _lowered(" ".join(["get" if verb == "return" and name[:1] != ["return"] else verb, *words[1:]]))
        if 2 <= len(words) <= 9:
            return _of_phrase(_lowered(" ".join(words)), name)
    return _of_name(name)


def is_verb(word: str) -> bool:
    """Whether requests begin with a word."""
    return word in _MORE_VERBS or word in verbs()


def _shortened(text: str) -> str:
    """A sentence cut at its first clause where it is long, or where what follows a comma only explains."""
    head, comma, rest = text.partition(", ")
    if comma and len(head.split()) >= 3 and (_ASIDE.match(rest) or not re.search(r"\b(and|or)\b", rest)):
        text = head
    if len(text.split()) <= MOST_WORDS:
        return text
    for match in _CLAUSE.finditer(text):
        if 3 <= len(text[: match.start()].split()) <= MOST_WORDS:
            return text[: match.start()].strip()
    return ""


def _verb(word: str, name: Sequence[str]) -> str | None:
    forms = (word, word.removesuffix("s"), word.removesuffix("es"), word.removesuffix("ies") + "y")
    return next((form for form in forms if form in _MORE_VERBS), None) or base_form(word, [one for one in name if one in verbs()])


def _leading_verb(word: str, second: str, name: Sequence[str]) -> str | None:
    """The verb that a description begins with. Half of all English verbs are nouns too: an order's status is not ordered, nor a report of losses."""
    if _DETERMINER.match(second):
        return _verb(word, name) or _same_word(word, name[:1])
    noun = second == "of" or (word in _NOUNS and _AFTER_NOUN.match(second))  # "orders" and "freezes" before one are verbs
    return None if noun else _verb(word, name)


def _same_word(word: str, name: Sequence[str]) -> str | None:
    """The name's first word where a description begins with it, in the third person or not: before "a" or "the" it is a verb, known or not."""
    return next((one for one in name if word in (one, f"{one}s", f"{one}es", f"{one[:-1]}ies")), None)


def _of_phrase(phrase: str, name: Sequence[str]) -> str:
    if _DONE.search(phrase):
        return f"run {'' if _ARTICLE.match(phrase) else 'the '}{phrase}"
    known = bool(name) and is_verb(name[0]) and not phrase.lower().startswith(name[0])  # "Order status" of `order_status` is a noun
    verb = name[0] if known else "get"
    named_better = verb in ("search", "query", "browse") and verb in phrase.lower().split()  # "full text search" of `search_orders`
    if verb in _READING and not named_better:
        return f"{verb if verb in ('show', 'find', 'view') else 'get'} {'' if _ARTICLE.match(phrase) else 'the '}{phrase}"
    return _of_name(name)


def _of_name(name: Sequence[str]) -> str:
    """`create_quote` as "create a quote"; a name without a verb as "get the quote"."""
    if name and name[0] in _PHRASAL:
        return " ".join([_PHRASAL[name[0]], *name[1:]])
    verb = _leading_verb(name[0], name[1], name) if len(name) > 1 else None
    if verb is None:
        return "get the " + " ".join(name)
    rest = " ".join(name[1:])
    if name[-1].endswith("s") and not name[-1].endswith("ss"):
        return f"{verb} {rest}"
    return f"{verb} {'an' if rest[0] in 'aeiou' else 'a'} {rest}" if verb not in _READING else f"{verb} the {rest}"


def _lowered(text: str) -> str:
    """The first letter small, unless its word is a name or an abbreviation."""
    return text if text[1:2].isalnum() and text[:2].isupper() else text[:1].lower() + text[1:]
