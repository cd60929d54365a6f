"""Nothing that opens a door is shown."""

import pytest

from luthier.texts.secrets import without_secrets


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://user:pw@host/v1", "http://…@host/v1"),
        ("see https://tok@host/a and http://x:y@z", "see https://…@host/a and http://…@z"),
        ("http://host/v1?api_key=abc&n=1", "http://host/v1?api_key=…&n=1"),
        ("http://host/v1?n=1&access_token=abc#x", "http://host/v1?n=1&access_token=…#x"),
        ("Authorization: Bearer abcdefgh123", "Authorization: Bearer …"),
        ("luthier run --endpoint 'http://u:p@h/v1?sig=1'", "luthier run --endpoint 'http://…@h/v1?sig=…'"),
        ("mail me@host about http://host/v1", "mail me@host about http://host/v1"),
        ("the token is long", "the token is long"),
    ],
)
def test_what_is_struck_out_and_what_stays(text, shown):
    assert without_secrets(text) == shown


def test_known_keys_are_struck_out_wherever_they_stand():
    assert without_secrets("a sk-1234 b sk-1234", "sk-1234", None, "") == "a … b …"
