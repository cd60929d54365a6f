"""Preference pairs from wrong answers, bridged, and a model tuned on them (DPO-BMC, arXiv 2408.07471).

python examples/preference.py [MODEL]
"""

import sys

from peft import LoraConfig

from luthier import PreferenceConfig, PreferenceTrainer, open_model
from luthier.records import Message
from luthier.synthesize.pairs import AnswerSwap, PairReport, Question, make_pairs, wrong_drafts

model = open_model(sys.argv[1] if len(sys.argv) > 1 else "bundled", dtype="float32")

# The questions, and what a model said to them. `luthier synthesize pairs` asks the model itself.
sums = [(a, b) for a in range(2, 5) for b in range(3, 5)]
questions = [
    Question((Message("user", f"What is {a} + {b}?"),), f"{a} and {b} make {a + b}. The answer is {a + b}.", str(a + b)) for a, b in sums
]
answers = [[f"Let me see. I add {a} and {b}. The answer is {a + b + 1}."] for a, b in sums]

# A bridge changes the wrong answer only where it must: the pair then differs in what matters.
report = PairReport()
pairs = make_pairs(wrong_drafts(questions, answers, report), AnswerSwap(), report)
print(f"{report.pairs} pairs, {report.bridged} bridged; words that differ {report.mean_before:.0%} -> {report.mean_after:.0%}")
print("  chosen:  ", pairs[0]["chosen"][0]["content"])
print("  rejected:", pairs[0]["rejected"][0]["content"])

config = PreferenceConfig(
    "preference",
    loss="dpo",
    weighting="bmc",
    delta=2.0,
    max_steps=2,
    per_device_train_batch_size=2,
    learning_rate=1e-4,
    report_to=[],
    use_cpu=True,
    save_strategy="no",
    logging_steps=1,
)
lora = LoraConfig(r=8, lora_alpha=16, target_modules=["q_proj", "v_proj"])
trainer = PreferenceTrainer(model.module, config, train_dataset=pairs, processing_class=model.tokenizer, peft_config=lora)
trainer.train()
print("loss", [round(entry["loss"], 3) for entry in trainer.state.log_history if "loss" in entry])
trainer.save_model("preference/adapter")
