"""The flows: whole jobs in plain Python, each a page that reads top to bottom."""
