"""What a text that is not UTF-8 most likely is, so that the advice to convert it does not make things worse."""

from __future__ import annotations

_MARKS = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}


def not_utf8(beginning: bytes) -> str:
    """What is wrong, and the command that mends it. beginning: the first bytes of the text.

    Windows' own code page has all the letters of Latin-1, and the signs that Latin-1 has not.
    """
    likely = _MARKS.get(beginning[:2]) or ("utf-16" if b"\0" in beginning[:64] else "cp1252")
    return f"not UTF-8 text; convert the file first, for example with: iconv -f {likely} -t utf-8"
