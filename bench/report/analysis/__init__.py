"""Analysis of rows: comparisons, effects, growth of cost, patterns, windows along a piece."""
