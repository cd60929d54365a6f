"""Tool dialogues in a run folder: APIs read into a pool of tools, dialogues made about them, every one of them checked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from functools import partial
from itertools import islice
from pathlib import Path
from random import Random

from luthier.errors import SettingsError
from luthier.packages import BFCL, fetch_wheel
from luthier.progress import Progress, quiet
from luthier.records import JSON, Conversation, read_conversations, write_jsonl
from luthier.run import Run, RunRecord
from luthier.run.folder import Read
from luthier.synthesize.tools import page
from luthier.synthesize.tools.settings import DialogueSettings
from luthier.synthesize.tools.type_shares import with_shares

POOL, DIALOGUES, CHECKED, REJECTED = page.POOL, page.DIALOGUES, page.CHECKED, "rejected.jsonl"
HELD_OUT = page.HELD_OUT
_HELD_OUT_SEED = 0x5EED  # apart from the seed of the dialogues one trains on
_MOST_TRIES = 20  # dialogues made for each that is held out


def run(settings: DialogueSettings, out: Path, progress: Progress = quiet) -> Run:
    """Keep the pool, all dialogues, those that passed every check and those that did not; the same call continues a stopped run.

    Raises MissingFileError or ToolSpecError for what is no description of APIs, FetchError, and SettingsError where no tool is usable.
    """
    from luthier.synthesize.tools.apis import api_reads
    from luthier.synthesize.tools.checks import RULES
    from luthier.synthesize.tools.dialogues import PER_LIST, TYPE_SHARES
    from luthier.synthesize.tools.own_dialogues import OWN_SHARES
    from luthier.synthesize.tools.writing_runs import (
        ANSWERS,
        FAILED,
        JUDGEMENTS,
        OPEN,
        RULED,
        WORDED,
        Opened,
        judge_all,
        model_steps,
        play_all,
        word_all,
    )

    described = api_reads(settings.apis, settings.builtin_apis)
    given = [settings.given] if settings.given else []
    writing, judging = settings.writing_reads(), settings.judging_reads()
    reads: list[Read] = [*described, *given, *writing, *judging, (BFCL.label, fetch_wheel(BFCL))]
    spoken = {name for name, _ in writing}
    drawn: JSON = {"shares": dict(TYPE_SHARES), "per_list": PER_LIST, **({"own_shares": dict(OWN_SHARES)} if settings.apis else {})}
    told = tuple(settings.told_shares)  # as they were before there was a choice where none is made
    writer = Opened(settings.open_writer)
    with Run(out, "synthesize tools", settings, reads=reads, progress=progress, draw=page.draw) as made:
        names = [name for name, _ in described]
        made.step("pool", partial(_pool, settings, out, progress), uses=("apis", "builtin_apis"), reads=names, files=[POOL])
        own = made.results("pool")["own"]
        if settings.agents == "full":
            made.step(
                "dialogues",
                partial(play_all, settings, own, writer, out, progress),
                uses=model_steps(("count", "each", "seed", "agents", "turns", "executor", "functions", *told)),
                reads=sorted(spoken),
                files=[ANSWERS, DIALOGUES],
                after=["pool"],
            )
        else:
            made.step(
                "dialogues",
                partial(_given, settings, out, progress) if given else partial(_dialogues, settings, own, out, progress),
                uses=("given",) if given else ("count", "real_share", "each", "whole_lists", "seed", *told),
                reads=given,
                files=[DIALOGUES],
                after=["pool"],
                more=drawn,
            )
        source = DIALOGUES
        if settings.writes and settings.agents == "slots":
            made.step(
                "words",
                partial(word_all, settings, made.results("dialogues")["made"], writer, out, progress),
                uses=model_steps(("seed",)),
                reads=sorted(spoken),
                files=[ANSWERS, WORDED],
                after=["dialogues"],
            )
            source = WORDED
        made.step(
            "check",
            partial(_check, settings, source, made.results("dialogues")["made"], made.results("pool"), out, progress),
            uses=(),
            reads=[BFCL.label],
            files=[RULED, OPEN, REJECTED] if settings.judge else [CHECKED, REJECTED],
            after=["dialogues" if source == DIALOGUES else "words"],
            more={"rules": sorted(RULES), **({"judged": True} if settings.judge else {})},
        )
        if settings.judge:
            made.step(
                "experts",
                partial(judge_all, settings, made.results("pool"), Opened(settings.open_judge), out, progress),
                uses=("judge", "judge_endpoint", "budget", "seed", "given", "dtype", "quantize"),
                reads=[name for name, _ in judging],
                files=[JUDGEMENTS, CHECKED, FAILED, page.REVIEW],
                after=["check"],
            )
        if settings.held_out:
            made.step(
                "held out",
                partial(_held_out, settings, own, out, progress),
                uses=("held_out", "real_share", "each", "whole_lists", "seed"),
                reads=[BFCL.label],
                files=[HELD_OUT],
                after=["experts" if settings.judge else "check"],
                more=drawn,
            )
    return made


def own_sources(folder: Path) -> frozenset[str]:
    """Where the user's own tools came from, in the words of the dialogues' field `source`: of a run folder."""
    from luthier.synthesize.tools.pool import ToolPool

    count = RunRecord.read(folder).results("pool").get("own", 0)
    return frozenset(tool.source for tool in islice(ToolPool.read(folder / POOL), count))


def _pool(settings: DialogueSettings, out: Path, progress: Progress) -> JSON:
    """Real APIs, normalised and linted: all tools of the user's own, then those of the package index without duplicates."""
    from luthier.synthesize.tools.apis import import_apis
    from luthier.synthesize.tools.callable_tools import callable_tools
    from luthier.synthesize.tools.pool import ToolPool, own_pool
    from luthier.synthesize.tools.shipped_pool import ShippedPool, package_of, shipped_pool

    progress.step("Collecting tools")
    given = list(import_apis(settings.apis))
    own, left = own_pool(given)
    others, shipped = shipped_pool() if settings.builtin_apis else ShippedPool(ToolPool(()), Counter())
    sources = Counter(map(package_of, given)) + shipped
    read, rejected = sources.total(), own.rejected + others.rejected
    if not len(own) + len(others):
        told = "; ".join(f"{reason}: {count}" for reason, count in rejected.most_common())
        raise SettingsError(f"{', '.join(settings.apis)}: no tool there that can be used, of {read} read ({told or 'none at all'})")
    ToolPool((*own.tools, *others.tools)).write(out / POOL)
    _, uncallable = callable_tools(own.tools)
    return {
        "tools": len(own) + len(others),
        "own": len(own),
        "read": read,
        "sources": dict(sources),
        "rejected": dict(rejected.most_common()),
        "left_out": left | uncallable,
        "duplicates": own.duplicates + others.duplicates + others.near_duplicates,
    }


def _dialogues(settings: DialogueSettings, own: int, out: Path, progress: Progress) -> JSON:
    """Arguments first, then the request around them."""
    from luthier.synthesize.tools.everyday import EVERYDAY_SOURCE

    progress.step("Making dialogues", settings.count)
    types: Counter[str] = Counter()
    real = 0

    def rows() -> Iterator[JSON]:
        nonlocal real
        for conversation in _drawn(settings, out, own, settings.count, settings.seed, settings.real_share, settings.told_shares):
            types[conversation.extra["type"]] += 1
            real += conversation.extra["source"] != EVERYDAY_SOURCE
            progress.advance()
            yield conversation.to_row()

    made = write_jsonl(out / DIALOGUES, rows())
    return {"made": made, "real": real, "types": dict(types)}


def _given(settings: DialogueSettings, out: Path, progress: Progress) -> JSON:
    """A person's own rows, in any layout that training reads. Raises BadRowError for a row that cannot be read."""
    from luthier.synthesize.tools.everyday import EVERYDAY_SOURCE

    rows = list(read_conversations(str(settings.given)))
    if not rows:
        raise SettingsError(f"{settings.given}: no dialogues there")
    progress.step("Reading dialogues", len(rows))
    types = Counter(str(row.extra.get("type") or "without a type") for row in rows)
    real = sum(row.extra.get("source") != EVERYDAY_SOURCE for row in rows)
    return {"made": write_jsonl(out / DIALOGUES, (row.to_row() for row in rows)), "real": real, "types": dict(types)}


def _drawn(  # noqa: PLR0917
    settings: DialogueSettings, out: Path, own: int, count: int, seed: int, share: float, told: Mapping[str, float]
) -> Iterator[Conversation]:
    """Dialogues about the user's own tools, the first `own` of the pool, among those about others in the share that was asked for. told: shares of
    types in place of the usual ones."""
    from luthier.synthesize.tools.dialogues import REAL_SHARE, TYPE_SHARES, synthesize_dialogues
    from luthier.synthesize.tools.own_dialogues import OWN_SHARES, own_dialogues
    from luthier.synthesize.tools.pool import ToolPool

    tools = list(ToolPool.read(out / POOL))
    shares = with_shares(TYPE_SHARES, told)
    if not own:
        return synthesize_dialogues(count, tools, seed=seed, shares=shares, real_share=share, plain=settings.plain)
    wanted = round(share * count)
    about = own_dialogues(
        wanted,
        tools[:own],
        seed=seed,
        least=settings.each,
        whole_share=settings.whole_lists,
        shares=with_shares(OWN_SHARES, told),
        paired=not settings.plain,
    )
    others = synthesize_dialogues(count - wanted, tools[own:], seed=seed, shares=shares, real_share=REAL_SHARE, plain=settings.plain)
    return _mixed(about, others, share, seed)


def _mixed(about: Iterator[Conversation], others: Iterator[Conversation], share: float, seed: int) -> Iterator[Conversation]:
    """Both kinds in turn, as many dialogues of one as stand on a list."""
    from luthier.synthesize.tools.dialogues import PER_LIST

    random = Random(seed)
    waiting = [(about, share), (others, 1 - share)]
    while waiting:
        chosen = random.choices(range(len(waiting)), [max(weight, 1e-9) for _, weight in waiting])[0]
        block = list(islice(waiting[chosen][0], PER_LIST))
        yield from block
        if not block:
            del waiting[chosen]


def _held_out(settings: DialogueSettings, own: int, out: Path, progress: Progress) -> JSON:
    """Dialogues that pass every check and share no request and no call with those one trains on; about the user's own tools alone where there
    are any, and of all types in the usual shares, whatever one trains on."""
    from luthier.synthesize.tools.checks import check
    from luthier.synthesize.tools.contamination import benchmark_leaks
    from luthier.synthesize.tools.held_out import marks, unseen

    progress.step("Holding dialogues out", settings.held_out)
    seen: set[str] = set()
    for conversation in read_conversations(out / CHECKED):
        seen |= marks(conversation)
    leaks = benchmark_leaks()
    types: Counter[str] = Counter()
    share = 1.0 if own else settings.real_share
    drawn = _drawn(settings, out, own, _MOST_TRIES * settings.held_out, settings.seed ^ _HELD_OUT_SEED, share, {})
    clean = (conversation for conversation in drawn if not check(conversation, leaks))

    def rows() -> Iterator[JSON]:
        for conversation in islice(unseen(clean, seen), settings.held_out):
            types[conversation.extra["type"]] += 1
            progress.advance()
            yield conversation.to_row()

    made = write_jsonl(out / HELD_OUT, rows())
    return {"asked": settings.held_out, "made": made, "types": dict(types)}


def _check(settings: DialogueSettings, source: str, total: int, pool: JSON, out: Path, progress: Progress) -> JSON:  # noqa: PLR0917
    """The rule layer, grounding, and no overlap with any evaluation item of the benchmark. With a judge, a dialogue whose values are merely not
    grounded is open."""
    from luthier.synthesize.tools.checks import RULES, check
    from luthier.synthesize.tools.contamination import benchmark_leaks
    from luthier.synthesize.tools.coverage import Coverage
    from luthier.synthesize.tools.pool import ToolPool
    from luthier.synthesize.tools.writing_runs import OPEN, RULED

    progress.step("Checking", total)
    own = list(islice(ToolPool.read(out / POOL), pool["own"])) if pool["own"] else []
    coverage, types = Coverage(own, pool["left_out"]), Counter[str]()
    leaks = benchmark_leaks()
    failed: Counter[str] = Counter()
    rejected: list[JSON] = []
    left_open: list[JSON] = []

    def passed() -> Iterator[JSON]:
        for conversation in read_conversations(out / source):
            findings = check(conversation, leaks)
            progress.advance()
            if settings.judge and findings and all(finding.rule == "G1" for finding in findings):
                left_open.append(conversation.to_row())
            elif findings:
                failed.update({finding.rule for finding in findings})
                rejected.append({**conversation.to_row(), "findings": [str(finding) for finding in findings]})
            else:
                coverage.add(conversation)
                types[str(conversation.extra.get("type") or "without a type")] += 1
                yield conversation.to_row()

    count = write_jsonl(out / (RULED if settings.judge else CHECKED), passed())
    write_jsonl(out / REJECTED, rejected)
    if settings.judge:
        write_jsonl(out / OPEN, left_open)
    rules = {name: rule.description for name, rule in RULES.items()}
    found = {"checked": total, "passed": count, "failed": dict(failed.most_common()), "rules": rules, "types": dict(types)}
    if settings.judge:
        found["open"] = len(left_open)
    return {**found, "coverage": coverage.to_row()} if own else found
