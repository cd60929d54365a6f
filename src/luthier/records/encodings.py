"""What a text that is not UTF-8 most likely is, so that the advice to convert it does not make things worse."""

from __future__ import annotations

_MARKS = ((b"\xff\xfe\0\0", "utf-32"), (b"\0\0\xfe\xff", "utf-32"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))


def not_utf8(beginning: bytes) -> str:
    """What is wrong, and the command that mends it. beginning: the first bytes of the text.

    Windows' own code page has all the letters of Latin-1, and the signs that Latin-1 has not.
    """
    marked = next((name for mark, name in _MARKS if beginning.startswith(mark)), "utf-16" if b"\0" in beginning[:64] else "")
    which = f"with: iconv -f {marked}" if marked else "where its language is a Western one with: iconv -f cp1252"
    return f"not UTF-8 text; convert the file first, {which} -t utf-8"
