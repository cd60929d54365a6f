"""The benches that make data: tool dialogues, preference pairs, fusion sets."""
