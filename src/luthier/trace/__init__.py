"""Follow learners, pupils or language models: what they can do, from which answers, and how sure that is."""
