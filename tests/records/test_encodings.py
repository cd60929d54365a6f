"""What is advised for a text that is no UTF-8: the command that is advised reads it."""

import subprocess

import pytest

from luthier.records.encodings import not_utf8

WORDS = "naïve façade – 5 €\n"


@pytest.mark.parametrize(
    ("encoding", "advised"), [("utf-16", "utf-16"), ("utf-16-le", "utf-16"), ("utf-32", "utf-32"), ("cp1252", "cp1252")]
)
def test_the_likely_encoding_is_named(encoding: str, advised: str) -> None:
    assert f"iconv -f {advised} -t utf-8" in not_utf8(WORDS.encode(encoding))


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "cp1252"])
def test_the_advice_mends_the_text(encoding: str) -> None:
    data = WORDS.encode(encoding)
    name = not_utf8(data).rpartition("iconv -f ")[2].split()[0]
    done = subprocess.run(["iconv", "-f", name, "-t", "utf-8"], input=data, capture_output=True, check=True)
    assert done.stdout.decode() == WORDS
