"""Luthier: post-training for open language models, with the evidence.

The front doors, each loaded when it is first used; the benches (`luthier.train`, `luthier.trace` …) hold the rest, and every command does what three lines of Python can do:

    open_model, open_embedder               a model or an embedder by name, folder or server
    select                                  the rows of a pool that teach most (ZIP, arXiv 2407.06645)
    FlatLoraCallback                        flat minima for any trainer with LoRA (Flat-LoRA, arXiv 2409.14396)
    PreferenceTrainer, PreferenceConfig     preference pairs (DPO-BMC, arXiv 2408.07471)
    DiversityHead, DDS                      a temperature for every context (arXiv 2406.07850)
    probe_chain                             a model's answer before and after each step (Chain-of-Probe, arXiv 2406.16144)
    Tracer                                  what a learner knows, and what comes next (SINKT, arXiv 2407.01245)
    solve                                   a program, searched by thoughts that execution repairs (RethinkMCTS, arXiv 2409.09584)
    Sandbox, code_reward                    model-written Python, judged where it can harm and fake nothing
    Run, RunRecord                          what a command leaves on disk
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from luthier.doors import doors

if TYPE_CHECKING:
    from luthier.decode.head import DiversityHead
    from luthier.decode.processor import DDS
    from luthier.models.opening import open_embedder, open_model
    from luthier.probe.chain import probe_chain
    from luthier.run import Run, RunRecord
    from luthier.sandbox.box import Sandbox
    from luthier.sandbox.rewards import code_reward
    from luthier.search.solving import solve
    from luthier.select.selection import select
    from luthier.trace.tracer import Tracer
    from luthier.train.flat.callback import FlatLoraCallback
    from luthier.train.preference.config import PreferenceConfig
    from luthier.train.preference.trainer import PreferenceTrainer

__version__ = "0.2.0"

__all__ = [
    "DDS",
    "DiversityHead",
    "FlatLoraCallback",
    "PreferenceConfig",
    "PreferenceTrainer",
    "Run",
    "RunRecord",
    "Sandbox",
    "Tracer",
    "code_reward",
    "open_embedder",
    "open_model",
    "probe_chain",
    "select",
    "solve",
]

__getattr__ = doors(
    __name__,
    {
        "DDS": "luthier.decode.processor",
        "DiversityHead": "luthier.decode.head",
        "FlatLoraCallback": "luthier.train.flat.callback",
        "PreferenceConfig": "luthier.train.preference.config",
        "PreferenceTrainer": "luthier.train.preference.trainer",
        "Run": "luthier.run",
        "RunRecord": "luthier.run",
        "Sandbox": "luthier.sandbox.box",
        "Tracer": "luthier.trace.tracer",
        "code_reward": "luthier.sandbox.rewards",
        "open_embedder": "luthier.models.opening",
        "open_model": "luthier.models.opening",
        "probe_chain": "luthier.probe.chain",
        "select": "luthier.select.selection",
        "solve": "luthier.search.solving",
    },
)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
