"""The drawing kit: one self-contained HTML page from a run folder, its charts and its words. Benches say what stands on it."""
