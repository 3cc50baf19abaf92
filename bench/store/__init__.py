"""Results on disk: cells, the table made of them, bundles, and cells of other studies that can be used again."""
