"""The results of a study as reports read them: table, arms, points, raw rounds, pieces, study.json."""
