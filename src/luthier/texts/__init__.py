"""What texts say and what they have in common: values, answers, n-grams, MinHash, alignments. Imports nothing of the house."""
