"""What users and assistants say around calls in dialogues about a person's own tools: questions, links, small talk, what no tool answers."""

from __future__ import annotations

LINKS = ("{a} Also, {b}", "{a} And {b}", "{a}\n{B}", "{a} {B}", "{a} Then {b}")
THINGS = ("topic", "substance", "animal", "sport", "genre", "organ")
OPEN: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("Explain {topic} to me.", ("topic", "event", "sport", "genre", "coding")),
    ("Why do people care about {topic}?", ("topic", "event", "sport", "genre")),
    ("What should I know about {topic}?", (*THINGS, "event", "country", "coding")),
    ("Write a short poem about {topic}.", ("topic", "animal", "sport", "country", "event")),
    ("How did {topic} come about?", ("event", "topic", "sport")),
    ("Can you tell me something interesting about {topic}?", (*THINGS, "country", "event")),
    ("What is {topic} used for?", ("substance", "coding")),
    ("Who has written the best book about {topic}?", ("topic", "event", "country", "sport")),
    ("Tell me a joke about {topic}.", ("topic", "animal", "sport", "coding")),
)
HELLO = ("Hi", "Hello", "Good morning", "Hey", "Good afternoon")
CHAT = (
    "{hello}, this is {name}. What can you help me with?",
    "{hello}! {name} here. Which things can you do?",
    "{hello}, I'm {name} and new here. What are you able to do for me?",
    "Thanks a lot, that was all for today. Regards, {name}",
    "Thank you, you were a great help! {name}",
    "{hello}, {name} here. How are you today?",
)
