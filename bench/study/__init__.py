"""Studies: strict YAML, typed settings, and the combinations on their axes."""
