"""What a server's refusal of a request means: a field it does not take, or a prompt it will never answer.

Servers tell it in many words; what is not told clearly is an error for whoever asked.
"""

from __future__ import annotations

import re
from typing import Any

from luthier.records import JSON

# Fields that may be renamed or left out: the answers are other draws then, but answers to the same question.
_OTHER_NAMES = {"max_tokens": "max_completion_tokens", "max_completion_tokens": "max_tokens"}
_MAY_GO = ("seed", "temperature", "top_p", "top_k", "stop")
_NOT_TAKEN = re.compile(
    r"unsupported|not support|does not accept|not allowed|not permitted|unrecognized|unknown|unexpected|extra (?:inputs|fields)|invalid|deprecated|only the default",
    re.IGNORECASE,
)
_PROMPT_CODES = (
    "content_filter",
    "content_policy_violation",
    "responsibleaipolicyviolation",
    "context_length_exceeded",
    "invalid_prompt",
    "data_inspection_failed",
)
_PROMPT_WORDS = re.compile(
    r"content[ _](?:management )?(?:policy|filter)|context (?:length|window)|too many tokens|prompt is too long|flagged|safety (?:system|policy)|moderation",
    re.IGNORECASE,
)


def refused_field(status: int, words: str, body: Any, request: JSON) -> tuple[str, str | None] | None:
    """(a field of the request that the server does not take, the name it wants instead or None); None where it complains of something else."""
    if status not in (400, 422):
        return None
    error = _error(body)
    named = str(error.get("param") or "").rsplit(".", 1)[-1]
    known = [name for name in (*_OTHER_NAMES, *_MAY_GO) if name in request or name in request.get("extra_body", {})]
    candidates = [named] if named in known else [name for name in known if re.search(rf"(?<![\w]){name}(?!\w)", words)]
    if not candidates or not (_NOT_TAKEN.search(words) or str(error.get("code", "")).startswith("unsupported")):
        return None
    return candidates[0], _OTHER_NAMES.get(candidates[0])


def refuses_prompt(status: int, words: str, body: Any) -> str | None:
    """Why the server will never answer this prompt; None where something else is wrong."""
    if status not in (400, 403, 413, 422, 451):
        return None
    error = _error(body)
    inner = error.get("innererror")
    codes = [str(each.get("code", "")).lower() for each in (error, inner) if isinstance(each, dict)]
    code = next((each for each in codes if each in _PROMPT_CODES), None)
    found = _PROMPT_WORDS.search(words)
    return code or (found[0].lower() if found else None)


def without_field(request: JSON, field: str, other: str | None) -> JSON:
    """The request with a field under its other name, or without it."""
    kept = {name: value for name, value in request.items() if name != field}
    extra = {name: value for name, value in request.get("extra_body", {}).items() if name != field}
    kept.pop("extra_body", None)
    if other is not None and field in request:
        kept[other] = request[field]
    return kept | ({"extra_body": extra} if extra else {})


def _error(body: Any) -> JSON:
    """The error in a reply's body, which the client hands over with or without what is round it."""
    inner = body.get("error", body) if isinstance(body, dict) else {}
    return inner if isinstance(inner, dict) else {}
