"""Blind listening tests: one page of pairs of samples, and the analysis of what listeners answered."""
