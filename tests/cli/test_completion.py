"""What a shell is told: commands, their options, and the script that asks for them."""

from __future__ import annotations

import pytest
from test_cli import luthier


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_script_for_each_shell(shell: str) -> None:
    done = luthier(_LUTHIER_COMPLETE=f"{shell}_source")
    assert (done.returncode, done.stderr) == (0, "")
    assert "_luthier_completion" in done.stdout


@pytest.mark.parametrize(
    ("words", "found"), [("luthier tr", "plain,train"), ("luthier trace ser", "plain,serve"), ("luthier trace fit --epo", "plain,--epochs")]
)
def test_words_that_begin_so(words: str, found: str) -> None:
    done = luthier(_LUTHIER_COMPLETE="bash_complete", COMP_WORDS=words, COMP_CWORD=str(len(words.split()) - 1))
    assert found in done.stdout.splitlines()
