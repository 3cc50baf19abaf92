"""What follows from rows: means, comparisons, effects, growth, patterns, windows."""
