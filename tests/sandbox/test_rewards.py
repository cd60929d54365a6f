from __future__ import annotations

from pathlib import Path

import pytest

from luthier.errors import SandboxError, SettingsError
from luthier.sandbox import Sandbox, code_reward, rubric_reward
from luthier.sandbox.rewards import make_code_reward
from luthier.sandbox.session import Job, Session

GOOD = "Here it is:\n```python\ndef double(x):\n    return 2 * x\n\nassert double(1) == 3  # a slip\n```\nDone."
TESTS = ["assert double(1) == 2", "assert double(2) == 4"]


def test_programs_are_rewarded_in_every_form_of_completion(box: Sandbox) -> None:
    chat = [{"role": "assistant", "content": GOOD}]
    hack = "import os\ndef double(x):\n    os._exit(0)"
    completions = [GOOD, chat, "    return x + x\n", hack, "I cannot."]
    rewards = code_reward(completions, tests=[TESTS] * 5, entry_point=["double"] * 5, prompt=["def double(x):\n"] * 5, trainer_state=None)
    assert rewards == [1.0, 1.0, 1.0, 0.0, 0.0]


def test_what_a_message_says_may_stand_in_parts_and_a_file_may_begin_with_a_mark(box: Sandbox) -> None:
    parts = [{"role": "assistant", "content": [{"type": "text", "text": GOOD[:20]}, {"type": "text", "text": GOOD[20:]}]}]
    assert code_reward([parts, "\ufeffdef double(x): return 2 * x"], tests=[TESTS] * 2, entry_point=["double"] * 2) == [1.0, 1.0]


@pytest.mark.parametrize(
    "completion", [None, 3, [GOOD], [{"role": "assistant", "content": [{"type": "image"}]}], [{"role": "assistant", "content": 5}]]
)
def test_what_is_no_completion_is_refused(completion: object) -> None:
    with pytest.raises(SettingsError, match=r"a completion is a text or messages|the content of a message is"):
        code_reward([completion], tests=[TESTS], entry_point=["double"])


def test_inputs_may_be_lists_of_lines(box: Sandbox) -> None:
    adds = "print(sum(int(input()) for _ in range(2)))"
    assert code_reward([adds, adds], tests=[[{"input": ["1", "2"], "output": [3]}], [(["4", "5"], 9)]]) == [1.0, 1.0]


def test_a_share_is_paid_where_asked_for(box: Sandbox) -> None:
    reward = make_code_reward(box, share=True)
    assert reward(["def double(x): return 2"], tests=[TESTS], entry_point=["double"]) == [0.5]
    assert reward(["print(int(input()) * 2)"], tests=[[("1", "2"), {"input": "2", "output": "5"}]]) == [0.5]
    assert reward.__name__ == "code_reward"


def test_a_sandbox_that_fails_is_no_reward_of_zero(box: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Session.run

    def fails(session: Session, job: Job, limits: object) -> object:
        if b"unlucky" in job.program:
            raise SandboxError("gone")
        return real(session, job, limits)

    monkeypatch.setattr(Session, "run", fails)
    with Sandbox(workers=2) as own:
        rewards = make_code_reward(own)([GOOD, GOOD.replace("def", "# unlucky\ndef"), GOOD], tests=[TESTS] * 3, entry_point=["double"] * 3)
    assert rewards[1] is None
    assert rewards[0] == rewards[2] == 1.0


def test_a_row_that_judges_nothing_is_refused(box: Sandbox) -> None:
    with pytest.raises(SettingsError, match="column of tests"):
        code_reward([GOOD], answer=["4"])
    with pytest.raises(SettingsError, match="without tests"):
        code_reward([GOOD], tests=[[]], entry_point=["double"])


def test_the_signature_of_verifiers(box: Sandbox) -> None:
    info = {"tests": TESTS, "entry_point": "double"}
    assert rubric_reward(completion=[{"role": "assistant", "content": GOOD}], info=info, state={}) == 1.0
    assert rubric_reward("def double(x): pass", info) == 0.0


@pytest.mark.slow
def test_grpo_trains_on_it(box: Sandbox, tiny_model_folder: Path, tmp_path: Path) -> None:
    from datasets import Dataset
    from trl import GRPOConfig, GRPOTrainer

    rows = Dataset.from_list([{"prompt": "def double(x):\n", "tests": TESTS, "entry_point": "double"}] * 4)
    config = GRPOConfig(
        output_dir=str(tmp_path),
        max_steps=2,
        per_device_train_batch_size=2,
        num_generations=2,
        max_completion_length=8,
        logging_steps=1,
        report_to="none",
        use_cpu=True,
        save_strategy="no",
        bf16=False,
    )
    trainer = GRPOTrainer(model=str(tiny_model_folder), reward_funcs=code_reward, args=config, train_dataset=rows)
    trainer.train()
    logged = [row for row in trainer.state.log_history if "rewards/code_reward/mean" in row]
    assert len(logged) == 2
    assert all(row["rewards/code_reward/mean"] == 0.0 for row in logged)
