"""Watches reasoning: what a model would answer before its chain of thought and after each step (Chain-of-Probe, arXiv 2406.16144).

The heavy parts load on first use, so that a command's help stays fast.
"""

from luthier.probe.chain import probe_chain, probe_chains
from luthier.probe.chain_trace import ChainTrace
from luthier.probe.choosing import choose
from luthier.probe.judge import ChainJudge
from luthier.probe.online import EarlyExit

__all__ = ["ChainJudge", "ChainTrace", "EarlyExit", "choose", "probe_chain", "probe_chains"]
