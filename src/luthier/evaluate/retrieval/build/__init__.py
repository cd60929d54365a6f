"""Builds retrieval tasks from code that lies at hand: recipes, filters, and the assembly into splits without leaks."""
