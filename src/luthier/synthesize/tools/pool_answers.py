"""`luthier tools import|lint|stats|export`: pools of tools and what is in them, dialogues in other layouts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from luthier.errors import BadRowError, SettingsError
from luthier.progress import Progress
from luthier.records import JSON, Account, Tool, read_conversations, write_jsonl
from luthier.records.files import refuse_taken
from luthier.report.wording import Told, number
from luthier.synthesize.tools.apis import import_apis
from luthier.synthesize.tools.callable_tools import callable_tools
from luthier.synthesize.tools.drafts import parameters_of
from luthier.synthesize.tools.export import exported
from luthier.synthesize.tools.lint import lint, walk
from luthier.synthesize.tools.pool import ToolPool, own_pool
from luthier.synthesize.tools.pool_settings import ExportSettings, ImportSettings, LintSettings, StatsSettings
from luthier.synthesize.tools.shipped_pool import shipped_pool

_SIZES = ((0, 0), (1, 2), (3, 5), (6, 10), (11, None))
_SHOWN = 20


@dataclass(frozen=True)
class PoolStats:
    """Counts of a pool's tools and parameters. sizes: tools by their number of parameters, nested ones too."""

    tools: int
    sources: dict[str, int]
    domains: dict[str, int]
    sizes: dict[str, int]
    types: dict[str, int]
    formats: dict[str, int]
    parameters: int
    required: int
    nested: int
    stated_answers: int


def import_pool(settings: ImportSettings, progress: Progress) -> Told:
    """Raises MissingFileError or ToolSpecError for what is no description of APIs, and SettingsError where no tool can be used."""
    refuse_taken(settings.out, [spec for spec in settings.specs if ":" not in spec], replace=progress.replace)
    progress.step("Collecting tools")
    own, left = own_pool(import_apis(settings.specs))
    others = shipped_pool().pool if settings.builtin_apis else ToolPool(())
    if not len(own) + len(others):
        raise SettingsError(f"{', '.join(settings.specs)}: no tool there that can be used ({'; '.join(left.values()) or 'none at all'})")
    made = ToolPool((*own.tools, *others.tools)).write(Path(settings.out))
    dropped = dict((own.rejected + others.rejected).most_common())
    lines = [f"{settings.out}: {number(made)} tools", *(f"  left out, {name}: {why}" for name, why in list(left.items())[:_SHOWN])]
    lines += [f"  left out, {reason}: {count}" for reason, count in dropped.items() if others.rejected]
    twins = others.duplicates + others.near_duplicates
    lines += [f"  left out, duplicates of another tool: {number(twins)}"] if twins else []
    return Told(lines, {"out": settings.out, "tools": made, "left_out": left, "rejected": dropped, "duplicates": own.duplicates + twins})


def lint_tools(settings: LintSettings, progress: Progress) -> Told:
    """Raises MissingFileError or ToolSpecError."""
    progress.step("Reading tools")
    with Account() as account:
        tools = list(import_apis(settings.specs))
    sound = [tool for tool in tools if not lint(tool)]
    _, stuck = callable_tools(sound)
    found = {tool.name: [str(finding) for finding in lint(tool)] for tool in tools}
    for name, why in stuck.items():
        found[name].append(why)
    twice = [name for name, count in Counter(tool.name for tool in tools).items() if count > 1]
    for name in twice:
        found[name].append("A2: the name stands for several tools")
    broken = {name: findings for name, findings in found.items() if findings}
    lines = [f"{name}: {finding}" for name, findings in broken.items() for finding in findings]
    refused = account.of("refused")
    lines += [f"not read: {entry}" for entry in refused]
    unread = sum(entry.rows for entry in refused)
    lines.append(
        f"{number(len(tools))} tools read, {number(len(broken))} with findings" + (f", {number(unread)} not read" if unread else "")
    )
    told: JSON = {"tools": len(tools), "findings": broken, "not_read": [str(entry) for entry in refused]}
    return Told(lines, told, code=1 if broken or unread else 0)


def count_tools(settings: StatsSettings, progress: Progress) -> Told:
    """Raises MissingFileError or ToolSpecError."""
    progress.step("Reading tools")
    stats = stats_of(list(import_apis(settings.specs)))
    lines = [f"{number(stats.tools)} tools, {number(stats.parameters)} parameters, {number(stats.required)} of them required"]
    lines.append(f"{number(stats.nested)} tools have nested parameters, {number(stats.stated_answers)} state what they answer")
    for title, counts in (
        ("source", stats.sources),
        ("domain", stats.domains),
        ("parameters", stats.sizes),
        ("type", stats.types),
        ("format", stats.formats),
    ):
        lines += [f"  {title} {name}: {number(count)}" for name, count in list(counts.items())[:_SHOWN]]
        lines += [f"  {title}s, {len(counts) - _SHOWN} more"] if len(counts) > _SHOWN else []
    return Told(lines, asdict(stats))


def stats_of(tools: list[Tool]) -> PoolStats:
    """The counts of some tools."""
    paths = {id(tool): list(parameters_of(tool.parameters)) for tool in tools}
    nodes = [node for tool in tools for place, node in walk(tool.parameters, "") if place]
    sizes = Counter(_size(len(paths[id(tool)])) for tool in tools)
    types = Counter(
        str(kind) for node in nodes for kind in ([node["type"]] if isinstance(node.get("type"), str) else node.get("type") or ())
    )
    return PoolStats(
        tools=len(tools),
        sources=dict(Counter(tool.source.rsplit(": ", 1)[0] for tool in tools).most_common()),
        domains=dict(Counter(tool.source.rsplit(": ", 1)[-1] for tool in tools).most_common()),
        sizes={_size(low): sizes[_size(low)] for low, _ in _SIZES},
        types=dict(types.most_common()),
        formats=dict(Counter(str(node["format"]) for node in nodes if "format" in node).most_common()),
        parameters=sum(map(len, paths.values())),
        required=sum(len(tool.parameters.get("required") or ()) for tool in tools),
        nested=sum(any("." in path for path in paths[id(tool)]) for tool in tools),
        stated_answers=sum(bool(tool.returns) for tool in tools),
    )


def export_dialogues(settings: ExportSettings, progress: Progress) -> Told:
    """Raises MissingFileError and BadRowError for what holds no dialogues."""
    refuse_taken(settings.out, [settings.dialogues], replace=progress.replace)
    progress.step("Writing dialogues")
    left: Counter[str] = Counter()

    def rows() -> Iterator[JSON]:
        for conversation in read_conversations(settings.dialogues):
            progress.advance()
            try:
                yield exported(conversation, settings.to)
            except BadRowError as problem:
                left[str(problem)] += 1

    made = write_jsonl(Path(settings.out), rows())
    lines = [f"{settings.out}: {number(made)} dialogues as {settings.to}"]
    lines += [f"  left out, {reason}: {number(count)}" for reason, count in left.most_common()]
    return Told(lines, {"out": settings.out, "made": made, "left_out": dict(left)})


def _size(count: int) -> str:
    low, high = next((low, high) for low, high in _SIZES if high is None or count <= high)
    return f"{low} and more" if high is None else str(low) if low == high else f"{low}-{high}"
