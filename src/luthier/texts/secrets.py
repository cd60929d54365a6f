"""Secrets in text that is to be shown or written: user names, passwords and queries of URLs, and keys that are known."""

from __future__ import annotations

import re

STRUCK = "…"
_USER = re.compile(r"(?<=://)[^\s/@'\"]++@")
_QUERY = re.compile(r"(?<=[?&])([\w.-]++)=[^\s&#'\"]++")
_NAMES = re.compile(r"key|token|secret|passw|pwd|sig|auth|credential", re.IGNORECASE)
_BEARER = re.compile(r"(?i)\b(bearer)\s++[\w.~+/=-]{8,}+")


def without_secrets(text: str, *keys: str | None) -> str:
    """The text without what URLs in it carry before their host, without the values of keys and tokens in their queries, and without `keys`."""
    for key in keys:
        if key and len(key) > 3:
            text = text.replace(key, STRUCK)
    text = _USER.sub(f"{STRUCK}@", text)
    text = _QUERY.sub(lambda match: f"{match[1]}={STRUCK}" if _NAMES.search(match[1]) else match[0], text)
    return _BEARER.sub(rf"\1 {STRUCK}", text)
