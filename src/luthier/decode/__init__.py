"""Dynamic decoding (DDS, arXiv 2406.07850): a temperature for every context, or every token, from the model's own representation."""
