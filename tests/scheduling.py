"""Which process runs which test: what is dear to make is made once.

By the names of files, since pytest 9.2 gives xdist no names of groups (`xdist_group`).
"""

from __future__ import annotations

from typing import Any

import pytest

# Files whose tests share what is dear to make, a run, a model or a cluster: one process runs all of a file, before the files that can be split.
WHOLE = (
    "cli/test_every_run.py",
    "decode/test_decoding_flow.py",
    "evaluate/retrieval/test_retrieval_flow.py",
    "models/test_model_hub.py",
    "probe/test_probe_flow.py",
    "recipes/test_fusion_flow.py",
    "recipes/test_preference_flow.py",
    "select/test_cluster.py",
    "train/test_train_flow.py",
    "trace/test_trace_models_flow.py",
)


def whole_files(config: pytest.Config, log: Any) -> Any:
    """xdist's scheduler that gives all of a file in `WHOLE` to one process, and other tests one by one to whichever is free."""
    from xdist.scheduler import LoadScopeScheduling

    class WholeFiles(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            return file if file.endswith(WHOLE) else nodeid

    return WholeFiles(config, log)
