"""Studies: strict YAML, typed settings, and the combinations on their axes."""

MOST_SEED = 2**63 - 1
"""Largest seed: every generator and every table takes it."""
