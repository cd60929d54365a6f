"""What flows: typed rows, and the readers and writers for them."""

from luthier.records.conversations import JSON, Conversation, Message, PreferencePair, Role, Tool, ToolCall

__all__ = ["JSON", "Conversation", "Message", "PreferencePair", "Role", "Tool", "ToolCall"]
