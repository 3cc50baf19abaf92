"""Intervals, paired tests, rankings and scaling fits that hold at two or three seeds too."""
