"""The results of a study as reports read them: table, arms, summaries, raw rounds, pieces, study.json."""
