"""Function-calling data from your own functions (ToolACE, arXiv 2409.00920): dialogues whose right calls are known, each checked.

python examples/tools.py
"""

import json
from collections import Counter

from luthier.records import write_jsonl
from luthier.synthesize.tools.checks import check
from luthier.synthesize.tools.dialogues import synthesize_dialogues
from luthier.synthesize.tools.importers import import_python


def send_parcel(recipient: str, city: str, weight_kg: float, express: bool = False) -> str:
    """Send a parcel to a person in a city."""
    raise NotImplementedError  # only the signature and the docstring are read


def track_parcel(parcel_id: str) -> str:
    """Tell where a parcel is."""
    raise NotImplementedError


tools = list(import_python([send_parcel, track_parcel]))  # a module's name, an OpenAPI file or an MCP listing do as well
rows = list(synthesize_dialogues(60, tools, seed=1, real_share=0.5))
problems = [finding for row in rows for finding in check(row)]
print(len(rows), "dialogues,", len(problems), "problems;", dict(Counter(row.extra["type"] for row in rows)))

row = next(row for row in rows if any(tool.name == "send_parcel" for tool in row.tools))
for message in row.messages:
    print(f"  {message.role}: {message.content or json.dumps([call.to_row() for call in message.tool_calls])}")
print("wrote", write_jsonl("tools.jsonl", (row.to_row() for row in rows)), "rows for TRL's SFTTrainer to tools.jsonl")
