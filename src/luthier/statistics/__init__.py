"""Numbers with their uncertainty: rates, resampled means and differences, ranks. Arrays in, numbers out; imports nothing of the house."""
