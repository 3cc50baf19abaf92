"""A study's table as a report reads it: rows, arms, points, pieces, learning curves."""
