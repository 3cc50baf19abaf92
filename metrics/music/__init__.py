"""Metrics of music, one per function; `import metrics` offers them."""
