"""A model that plays nothing is a NaN with its reason in every metric, not an error."""

import numpy as np
import symusic

from metrics import Notes, quality_table, read_notes


def piece(pitches: list[int]) -> Notes:

    score = symusic.Score(480)
    track = symusic.Track()
    for index, pitch in enumerate(pitches):
        track.notes.append(symusic.Note(480 * index, 480, pitch, 64))
    score.tracks.append(track)
    return read_notes(score)


def test_pieces_without_notes_leave_every_metric_missing_with_a_reason() -> None:
    real = [piece([60, 64, 67]), piece([62, 65, 69]), piece([60, 62, 64, 65])]
    results = quality_table([piece([]), piece([])], real, real)
    assert len(results) > 15
    for result in results:
        assert np.isnan(result.value), result.name
        assert result.reason, result.name
