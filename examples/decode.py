"""A temperature for every context (DDS, arXiv 2406.07850): labels from the model's own replies, a head on its state, generation with it.

python examples/decode.py [MODEL]
"""

import sys
from pathlib import Path

from luthier import DDS, DiversityHead, open_model
from luthier.decode import DiversityLabeler, StateEncoder
from luthier.decode.contexts import Context
from luthier.records import Message

model = open_model(sys.argv[1] if len(sys.argv) > 1 else "bundled")


def asked(text: str, kind: str) -> Context:
    return Context((Message("user", text),), kind, group=text)


# Where many replies are right, the temperature should be high; where one is, low. A real head wants hundreds of contexts.
things = ["the sea", "a train", "winter", "bread", "a piano", "the moon", "a garden", "rain"]
contexts = [asked(f"Write a line about {thing}.", "chat") for thing in things] + [
    asked(f"What is {n} + {n}?", "fact") for n in range(2, 10)
]

labeler = DiversityLabeler(model, StateEncoder(model.module, model.tokenizer), m=2, max_tokens=8)
labels = labeler.run(contexts, Path("decode"))
head = DiversityHead.fit(model, labels, folds=4, along=2)

dds = DDS(head, mapping="inverse_sigmoid", t0=0.9, level="sequence")
for text in ("Write a line about an old clock.", "What is 11 + 11?"):
    prompt = model.tokenizer.apply_chat_template(
        [{"role": "user", "content": text}], add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    with dds.attach(model.module):
        made = model.module.generate(**prompt, do_sample=True, top_p=0.95, max_new_tokens=12)
    reply = model.tokenizer.decode(made[0, prompt["input_ids"].shape[1] :], skip_special_tokens=True)
    print(f"{text} temperature {float(dds.trace[0].temperatures[0]):.2f}: {reply!r}")
