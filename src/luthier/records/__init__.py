"""What flows: typed rows, and the readers and writers for them."""

from luthier.records.account import Account, Entry
from luthier.records.conversations import JSON, Conversation, Message, PreferencePair, Role, Tool, ToolCall
from luthier.records.files import SkippedRows, atomic_write, read_rows, write_jsonl, write_parquet
from luthier.records.formats import read_conversations, to_conversation
from luthier.records.journal import Journal
from luthier.records.pairs import read_pairs, to_pair

__all__ = [
    "JSON",
    "Account",
    "Conversation",
    "Entry",
    "Journal",
    "Message",
    "PreferencePair",
    "Role",
    "SkippedRows",
    "Tool",
    "ToolCall",
    "atomic_write",
    "read_conversations",
    "read_pairs",
    "read_rows",
    "to_conversation",
    "to_pair",
    "write_jsonl",
    "write_parquet",
]
