"""Use a diversity head: replies to many prompts at once, here or at a server, a talk that shows its temperatures, a head for other engines."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from luthier.decode.samplers import read_sampler
from luthier.decode.settings import ChatSettings, DecodingSettings, ExportSettings, GenerateSettings
from luthier.models.opening import open_model, require
from luthier.progress import Progress, quiet
from luthier.records import Message, write_jsonl
from luthier.records.files import refuse_taken
from luthier.report.wording import Told

if TYPE_CHECKING:
    from luthier.decode.processor import DDS
    from luthier.decode.sampling import Reply
    from luthier.models.local import LocalModel
    from luthier.models.protocol import Sampling


def generate(settings: GenerateSettings, progress: Progress = quiet) -> Told:
    """A row for each prompt and each context of the file: `prompt`, `text`, `temperature`; in `out` where it is given."""
    from luthier.decode.contexts import read_contexts

    if settings.out is not None:
        refuse_taken(settings.out, filter(None, [settings.file]), replace=progress.replace)
    asked: list[tuple[Message, ...]] = [(Message("user", text),) for text in settings.prompts]
    asked += [context.messages for context in read_contexts(settings.file)] if settings.file is not None else []
    if settings.head is None and (settings.endpoint is not None or settings.engine != "transformers"):
        answers = _plain(settings, asked, progress)
    else:
        local = require(settings.open(), "module", "dynamic decoding")
        dds = open_dds(settings, settings.head, local.module)
        progress.step("Sampling replies", len(asked))
        answers = _served(settings, asked, dds, local, progress) if settings.endpoint else _drawn(settings, asked, dds, local, progress)
    rows = [
        {"prompt": messages[-1].content, "text": text, "temperature": temperature}
        for messages, (text, temperature) in zip(asked, answers, strict=True)
    ]
    if settings.out is not None:
        write_jsonl(settings.out, rows)
        return Told([f"{len(rows)} replies   {settings.out}"], {"replies": len(rows), "out": settings.out})
    return Told([f"[T {row['temperature']:.2f}] {row['text']}" for row in rows], rows)


def _plain(settings: GenerateSettings, asked: Sequence[tuple[Message, ...]], progress: Progress) -> list[tuple[str, float]]:
    """Replies of any engine or server at the fixed temperature."""
    from luthier.models.protocol import Prompt

    named = settings.served or settings.model
    model = settings.open() if settings.endpoint is None else open_model(named, endpoint=settings.endpoint)
    progress.step("Sampling replies", len(asked))
    made = model.generate([Prompt(messages) for messages in asked], _sampling(settings, settings.temperature), progress.advance)
    return [(one.text, settings.temperature) for one in made]


def _sampling(settings: GenerateSettings, temperature: float) -> Sampling:
    from luthier.models.protocol import Sampling

    known = {"top_p": 1.0, "top_k": 0.0} | read_sampler(settings.sampler)
    return Sampling(settings.max_tokens, temperature, known["top_p"], int(known["top_k"]), settings.seed)


def _served(
    settings: GenerateSettings, asked: Sequence[tuple[Message, ...]], dds: DDS, local: LocalModel, progress: Progress
) -> list[tuple[str, float]]:
    from luthier.decode.serving import DynamicEndpoint
    from luthier.models.protocol import Prompt

    client = DynamicEndpoint(open_model(settings.served or settings.model, endpoint=settings.endpoint), dds, local)
    made = client.generate([Prompt(messages) for messages in asked], _sampling(settings, 1.0), progress.advance)
    return list(zip([one.text for one in made], client.temperatures, strict=True))


def _drawn(
    settings: GenerateSettings, asked: Sequence[tuple[Message, ...]], dds: DDS, local: LocalModel, progress: Progress
) -> list[tuple[str, float]]:
    from luthier.decode.sampling import sample_replies
    from luthier.models.protocol import Prompt

    replies = sample_replies(
        local,
        [Prompt(messages) for messages in asked],
        dds,
        max_tokens=settings.max_tokens,
        truncation=read_sampler(settings.sampler),
        seed=settings.seed,
        progress=progress.advance,
    )
    return [(reply.text, reply.mean_temperature) for reply in replies]


def open_dds(settings: DecodingSettings, head: str | None, module: Any) -> DDS:
    """How a head decodes, or a fixed temperature where there is none. Raises SettingsError where it is another model's."""
    from luthier.decode.head import DiversityHead
    from luthier.decode.processor import DDS
    from luthier.decode.rules import Fixed

    if head is None:
        return DDS(Fixed(settings.temperature), level="token")
    return DDS(DiversityHead.load(head, module), settings.mapping, settings.temperature, settings.share())


class Speaker:
    """A talk with a local model that remembers what was said."""

    def __init__(self, settings: ChatSettings) -> None:
        self.settings = settings
        self.local = require(settings.open(), "module", "dynamic decoding")
        self.dds = open_dds(settings, settings.head, self.local.module)
        self.messages: list[Message] = []

    def say(self, text: str) -> Reply:
        """The model's reply."""
        from luthier.decode.sampling import sample_replies
        from luthier.models.protocol import Prompt

        self.messages.append(Message("user", text))
        (reply,) = sample_replies(
            self.local,
            [Prompt(tuple(self.messages))],
            self.dds,
            max_tokens=self.settings.max_tokens,
            truncation=read_sampler(self.settings.sampler),
            seed=self.settings.seed,
            numbers=[len(self.messages)],
        )
        self.messages.append(Message("assistant", reply.text))
        return reply

    def told(self, reply: Reply) -> str:
        """The reply behind its temperature; with `tokens` each token with its own: `The(0.84) capital(0.41)`."""
        text = reply.text
        if self.settings.tokens:
            pieces = [self.local.tokenizer.decode([token], skip_special_tokens=True) for token in reply.tokens]
            text = "".join(f"{piece}({value:.2f})" for piece, value in zip(pieces, reply.temperatures, strict=True) if piece)
        return f"[T {reply.mean_temperature:.2f}] {text}"


def export(settings: ExportSettings, progress: Progress = quiet) -> Told:
    """Copy the portable imitation of a fitted head, one JSON file for engines that show no states.

    Raises MissingFileError where the folder has none.
    """
    from luthier.decode.portable import PortableHead

    source = Path(settings.head) / "portable.json"
    refuse_taken(settings.out, [source], replace=progress.replace)
    PortableHead.load(source).save(settings.out)
    return Told([settings.out], {"out": settings.out})
