"""What engines share that run other code than torch: prompts are rendered and encoded as the transformers engine does it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from luthier.models.chat_template import ChatTemplate
    from luthier.models.local import LocalModel
    from luthier.models.protocol import Prompt


class ReadsAsTransformers:
    """reader: the same model as a transformers folder; it is never asked for its module."""

    reader: LocalModel

    @property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        return self.reader.tokenizer

    @property
    def template(self) -> ChatTemplate:
        """The chat template, and what it can do."""
        return self.reader.template

    def render(self, prompt: Prompt) -> str:
        """The prompt as the model reads it, up to where its answer begins."""
        return self.reader.render(prompt)

    def encode(self, text: str) -> list[int]:
        """Token ids of a text as it stands, without special tokens before or after it."""
        return self.reader.encode(text)
