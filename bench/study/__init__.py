"""Studies: strict YAML, the settings it may hold, and the grid of cells that follows."""
