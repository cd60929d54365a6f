"""Files that coding tools show in a conversation: the function that is asked for, and the answer in the whole file."""

from __future__ import annotations

from luthier.records import Message
from luthier.search import SearchSettings
from luthier.search.chats import doctests_of, shown_file
from luthier.search.requests import read

FILE = '''import math


def clip(x, low, high):
    """Bring x between low and high.

    >>> clip(5, 0, 3)
    3
    """
    raise NotImplementedError


def half(x):
    """Half of x.

    >>> half(4)
    2.0
    """
    return x / 2
'''
SHOWN = f"I added these files.\n\nlib/clip.py\n```\n{FILE}```"


def chat(*said: str) -> list[Message]:
    return [Message("system", "You help."), *(Message("user", text) for text in said)]


def test_the_function_that_the_last_message_names_is_asked_for() -> None:
    found = shown_file(chat(SHOWN, "Implement clip in lib/clip.py."), "")
    assert found is not None
    assert (found.name, found.function.name) == ("lib/clip.py", "clip")
    assert doctests_of(found) == ("assert clip(5, 0, 3) == 3",)
    other = shown_file(chat(SHOWN, "Mend it."), "half")
    assert other is not None
    assert other.function.name == "half"
    assert shown_file(chat(SHOWN, "Mend it."), "") is None
    assert shown_file(chat("Hello.", "Mend clip."), "") is None


def test_the_answer_is_the_file_with_the_new_function_and_what_it_needs() -> None:
    found = shown_file(chat(SHOWN, "Implement clip."), "")
    assert found is not None
    own = "import math\nimport operator\n\n\ndef clip(x, low, high):\n    return max(low, min(high, x))\n"
    wanted = FILE.replace("def clip", "import operator\n\ndef clip").replace("raise NotImplementedError", "return max(low, min(high, x))")
    assert found.answer(found.head + own) == f"lib/clip.py\n```python\n{wanted.rstrip()}\n```"
    assert found.answer(found.head + "clip = 3") == "```python\nclip = 3\n```"


def test_a_request_of_a_coding_tool_is_a_search() -> None:
    body = {
        "model": "luthier/best-of-n-4",
        "messages": [
            message.to_row() for message in chat(SHOWN, "Implement clip.\n\nUse this format:\npath/to/filename.js\n```\n// all of it\n```")
        ],
    }
    asked = read(body, "small", SearchSettings())
    assert asked.posed is not None
    assert asked.file is not None
    assert asked.posed.public == ("assert clip(5, 0, 3) == 3",)
    assert asked.posed.text.startswith("Implement clip.")
    assert (
        asked.posed.program_in("```python\ndef clip(x, low, high):\n    return x\n```")
        == asked.file.head + "def clip(x, low, high):\n    return x\n"
    )
