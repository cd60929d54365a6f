"""Scores: public benchmarks with their own checkers, and rates with their uncertainty."""
