"""Many conversations side by side: each is a generator that yields what it wants and is sent the answer; what several want at the same
moment is answered in one batch.

A strategy so written is plain code without a model in it: tests answer it by hand, and a batch of one gives the same as a batch of many.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from luthier.models.protocol import GREEDY, Completion, LanguageModel, Prompt, Sampling

T = TypeVar("T")
Talk = Generator[Any, Any, T]
Answerer = Callable[[Sequence[Any]], Sequence[Any]]


@dataclass(frozen=True)
class Ask:
    """What a conversation wants of a language model; the answer is a Completion."""

    prompt: Prompt
    sampling: Sampling = GREEDY


def asked_of(model: LanguageModel) -> Answerer:
    """Answers `Ask`s by a model, in one batch; each draws by its own seed alone."""

    def answer(wants: Sequence[Ask]) -> list[Completion]:
        return model.generate([want.prompt for want in wants], [want.sampling for want in wants])

    return answer


def side_by_side(
    talks: Iterable[Talk[T]], answerers: Mapping[type, Answerer], *, at_once: int = 64, ended: Callable[[int, T], None] | None = None
) -> list[T]:
    """What each generator returns, in their order; at most `at_once` of them are open. answerers: by the class of what is wanted; what an
    earlier one answers comes first, so put the quick ones before the model: then as many as can be wait for it together.

    ended: called with the place and the result of each that ends. Raises TypeError for a want that nobody answers.
    """
    waiting = enumerate(talks)
    results: dict[int, T] = {}
    open_talks: dict[int, Talk[T]] = {}
    wants: dict[int, Any] = {}

    def go_on(place: int, answer: Any) -> None:
        try:
            wants[place] = open_talks[place].send(answer)
        except StopIteration as stop:
            del open_talks[place]
            results[place] = stop.value
            if ended is not None:
                ended(place, stop.value)

    while True:
        while len(open_talks) < at_once and (new := next(waiting, None)) is not None:
            open_talks[new[0]] = new[1]
            go_on(new[0], None)
        if not wants:
            return [results[place] for place in sorted(results)]
        kinds = {type(wants[place]): place for place in sorted(wants, reverse=True)}
        if unknown := kinds.keys() - answerers.keys():
            raise TypeError(f"nobody answers {min(unknown, key=lambda each: kinds[each]).__name__}")
        kind = next(each for each in answerers if each in kinds)
        places = [place for place in sorted(wants) if type(wants[place]) is kind]
        batch = [wants.pop(place) for place in places]
        for place, answer in zip(places, answerers[kind](batch), strict=True):
            go_on(place, answer)
