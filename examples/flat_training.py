"""Flat minima for a trainer of your own (Flat-LoRA, arXiv 2409.14396): one callback, and nothing else changes.

python examples/flat_training.py [MODEL]
"""

import sys

from datasets import Dataset
from peft import LoraConfig
from trl import SFTConfig, SFTTrainer

from luthier import FlatLoraCallback, open_model

model = open_model(sys.argv[1] if len(sys.argv) > 1 else "bundled", dtype="float32")
rows = [
    {"messages": [{"role": "user", "content": f"What is {a} times {b}?"}, {"role": "assistant", "content": f"{a} times {b} is {a * b}."}]}
    for a in range(2, 10)
    for b in range(2, 6)
]
config = SFTConfig(
    "flat",
    max_steps=2,
    per_device_train_batch_size=2,
    learning_rate=2e-4,
    max_length=128,
    report_to=[],
    use_cpu=True,
    save_strategy="no",
    logging_steps=1,
    bf16=False,
)
trainer = SFTTrainer(
    model=model.module,
    args=config,
    train_dataset=Dataset.from_list(rows),
    processing_class=model.tokenizer,
    peft_config=LoraConfig(r=8, lora_alpha=16, target_modules=["q_proj", "v_proj"]),
    callbacks=[FlatLoraCallback(sigma=0.05)],  # noise on the merged weights, drawn anew each step, none left in them afterwards
)
trainer.train()
print("loss", [round(entry["loss"], 3) for entry in trainer.state.log_history if "loss" in entry])
trainer.save_model("flat/adapter")
print("adapter in flat/adapter; `luthier probe sharpness` compares it with a plain one")
