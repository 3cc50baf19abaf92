"""Preset `remi-m`: vocabulary, tokens and notes of hand-made files, against literals."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import symusic
import torch

from bench.data import TokenBaselines, TokenCorpus, TokenizerSettings, load_corpus, tokenize
from bench.data.reading import read_piece
from bench.data.remi import decode, encode, onset_steps, token_errors, vocabulary
from bench.diffusion import SAMPLERS
from bench.diffusion.constraints import ConstraintChoice, token_notes
from bench.diffusion.constraints.automaton import build_automaton
from bench.errors import UserError
from bench.files import canonical_hash
from bench.measure.quality.extent import beat_of_token, count_notes
from bench.measure.quality.process import token_language
from bench.study.settings import given
from bench.study.yaml import Place, validate
from metrics import read_notes

REMI_M = TokenizerSettings(preset="remi-m")
WORDS = vocabulary(REMI_M)


def words_of(path: Path, settings: TokenizerSettings = REMI_M) -> list[str]:
    names = vocabulary(settings)
    return [names[token] for token in encode(read_piece(path), settings)]


def tokens_of(*words: str) -> np.ndarray:
    return np.array([WORDS.index(word) for word in words])


def test_the_vocabulary_is_the_published_one() -> None:
    kinds = [word.split("_")[0] for word in vocabulary(TokenizerSettings(preset="remi-m", modes=True))]
    counts = {name: kinds.count(name) for name in dict.fromkeys(kinds)}
    assert counts == {
        "PAD": 1, "MASK": 1, "Pitch": 127, "ModePitch": 127, "Duration": 64, "Velocity": 126, "Tempo": 33,
        "Position": 16, "Bar": 1, "ModeStart": 12, "ModeEnd": 1,
    }  # fmt: skip
    assert (len(kinds), len(WORDS), len(set(WORDS))) == (509, 369, 369)
    assert WORDS[:3] == ["PAD_None", "MASK_None", "Pitch_1"] and WORDS[128:130] == ["Pitch_127", "Duration_0.1.4"]
    assert [word for word in WORDS if word.startswith("Tempo")][:5] == [f"Tempo_{n}" for n in (0, 7, 15, 22, 30)]
    assert {"Duration_16.0.4", "Velocity_126", "Tempo_240", "Position_15"} <= set(WORDS)


def test_a_note_is_pitch_duration_velocity_and_both_its_ends_are_rounded_down(tmp_path: Path) -> None:
    score = symusic.Score(480)  # a sixteenth is 120 ticks
    score.tempos.append(symusic.Tempo(0, 118))
    score.tempos.append(symusic.Tempo(2100, 60))  # 1.5 sixteenths into bar 1: of two equally near ones the first
    score.tempos.append(symusic.Tempo(5900, 200))  # after the last onset: left out
    track = symusic.Track("", 0, False)
    for start, end, pitch, velocity in [
        (0, 239, 60, 100),  # two sixteenths less a tick: one
        (0, 240, 64, 127),  # velocity 127 is written as 126; of one position the higher pitch first
        (359, 601, 0, 64),  # pitch 0 has no token
        (359, 601, 62, 1),  # sixteenth 2 to 5: three, though it lasts two
        (1919, 1920, 65, 64),  # sixteenth 15 to 16
        (5760, 5770, 1, 64),  # bar 3 after an empty one: rounded to nothing, so 1
        (5760, 20000, 127, 64),  # 118 sixteenths: 64
    ]:
        track.notes.append(symusic.Note(start, end - start, pitch, velocity))
    score.tracks.append(track)
    (tmp_path / "a.mid").write_bytes(score.dumps_midi())
    assert words_of(tmp_path / "a.mid") == [
        "Bar_None",
        *("Position_0", "Tempo_120"),
        *("Pitch_64", "Duration_0.2.4", "Velocity_126", "Pitch_60", "Duration_0.1.4", "Velocity_100"),
        *("Position_2", "Pitch_62", "Duration_0.3.4", "Velocity_1"),
        *("Position_15", "Pitch_65", "Duration_0.1.4", "Velocity_64"),
        *("Bar_None", "Position_1", "Tempo_60"),
        *("Bar_None", "Bar_None", "Position_0"),
        *("Pitch_127", "Duration_16.0.4", "Velocity_64", "Pitch_1", "Duration_0.1.4", "Velocity_64"),
    ]


def test_tokens_written_to_a_file_and_read_again_are_the_same(tmp_path: Path) -> None:
    tokens = tokens_of(
        *("Bar_None", "Position_4", "Tempo_90", "Pitch_72", "Duration_1.2.4", "Velocity_80"),
        *("Pitch_60", "Duration_16.0.4", "Velocity_1", "Bar_None", "Bar_None", "Position_15"),
        *("Tempo_240", "Pitch_127", "Duration_0.1.4", "Velocity_126", "Pitch_127", "Duration_0.1.4", "Velocity_126"),
    )
    score = decode(tokens, REMI_M)
    assert score.ticks_per_quarter == 120
    assert [(one.name, one.program, one.is_drum) for one in score.tracks] == [("Melody", 0, False)]
    assert [(one.time, one.numerator, one.denominator) for one in score.time_signatures] == [(0, 4, 4)]
    assert [(one.time, round(one.qpm)) for one in score.tempos] == [(120, 90), (1410, 240)]
    (tmp_path / "b.mid").write_bytes(score.dumps_midi())
    assert encode(read_piece(tmp_path / "b.mid"), REMI_M).tolist() == tokens.tolist()


def test_broken_tokens_decode_to_the_notes_that_are_whole() -> None:
    tokens = tokens_of(
        *("Pitch_60", "Duration_0.1.4", "Velocity_64"),  # before the first Bar: the first bar
        *("Bar_None", "Position_3", "Pitch_61", "Velocity_64", "Duration_0.1.4"),  # the other tokenizer's order
        *("Pitch_62", "Duration_0.2.4", "PAD_None", "Velocity_64", "Tempo_0"),
        *("Position_5", "Pitch_63", "Duration_0.2.4", "Velocity_7", "Bar_None", "Pitch_64", "Duration_0.1.4"),
    )
    notes = read_notes(decode(tokens, REMI_M))
    assert list(zip(notes.onset, notes.duration, notes.pitch, notes.velocity, strict=True)) == [
        (0.0, 0.25, 60, 64),
        (1.25, 0.5, 63, 7),
    ]
    assert len(decode(tokens, REMI_M).tempos) == 0  # a file cannot hold a tempo of 0
    assert decode(tokens_of("PAD_None", "MASK_None"), REMI_M).note_num() == 0
    with pytest.raises(ValueError, match=r"token 369 is not in the vocabulary of 369 \(0..368\)"):
        decode(np.array([369]), REMI_M)


def test_errors_are_wrong_types_and_time_that_does_not_go_forward() -> None:
    note = ("Pitch_60", "Duration_0.1.4", "Velocity_64")
    right = ("Bar_None", "Position_3", "Tempo_90", *note, *note, "Position_4", *note, "Bar_None", "Bar_None")
    assert token_errors(tokens_of(*right, "Position_3", *note), REMI_M) == 0.0
    wrong = ("Bar_None", "Position_4", *note, "Position_4", *note, "Bar_None", "Position_0", "Duration_0.1.4")
    assert token_errors(tokens_of(*wrong), REMI_M) == pytest.approx(2 / 12)  # the second Position_4, the Duration
    assert token_errors(np.zeros(0, np.int64), REMI_M) == 0.0


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory, write_midi: Callable[..., Path]) -> TokenCorpus:
    folder = tmp_path_factory.mktemp("scales")
    for index in range(4):
        notes = [(beat, 1.0, 50 + index + beat % 8, 64) for beat in range(4 * (4 + index))]
        write_midi(folder / f"{index}.mid", notes)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SMDIM_BENCH_CACHE", str(folder / "cache"))
        return tokenize(load_corpus(f"folder:{folder}"), REMI_M)


def test_a_corpus_of_these_tokens(corpus: TokenCorpus) -> None:
    assert (corpus.vocab_size, corpus.pad_id, corpus.mask_id, corpus.bar_id) == (369, 0, 1, 368)
    assert corpus.special_ids == [0, 1]
    names = [piece.id for piece in corpus.pieces_in_order]
    bars = {"0.mid": 4, "1.mid": 5, "2.mid": 6, "3.mid": 7}  # a bar is a Bar and four times Position and note
    assert dict(zip(names, np.diff(corpus.offsets).tolist(), strict=True)) == {name: 17 * bars[name] for name in names}
    piece = np.asarray(corpus.all_tokens[: 17 * bars[names[0]]])
    assert count_notes(corpus, piece) == 4 * bars[names[0]]
    assert beat_of_token(corpus, np.append(piece, corpus.bar_id))[-1] == 4 * bars[names[0]]
    assert token_errors(piece, REMI_M) == 0.0


def test_baselines_know_of_no_tokens_that_are_not_there(corpus: TokenCorpus) -> None:
    bits = TokenBaselines(corpus, 64).bits("train")
    assert bits["grammar"] < bits["unigram"] < np.log2(367)


def test_notes_with_their_places(corpus: TokenCorpus) -> None:
    language = token_language(corpus)
    assert language.note == ("Pitch", "Duration", "Velocity")
    tokens = tokens_of("Bar_None", "Position_6", "Pitch_60", "Duration_1.1.4", "Velocity_9", "Pitch_61", "Velocity_9")
    notes = token_notes(tokens, language)
    columns = (notes.at, notes.onset, notes.duration, notes.pitch, notes.velocity)
    assert list(zip(*columns, strict=True)) == [(2, 1.5, 1.25, 60, 9)]


def test_onsets_are_placed_as_the_tokens_place_them() -> None:
    onsets = np.array([0.0, 0.24, 0.25, 3.99])
    assert onset_steps(onsets, REMI_M).tolist() == [0, 0, 1, 15]
    assert onset_steps(onsets, TokenizerSettings()).tolist() == [0, 2, 2, 32]


def test_a_preset_goes_with_no_other_setting() -> None:
    for settings, words in {
        '{"preset": "remi-m", "velocities": 16}': "preset remi-m fixes velocities; allowed beside a preset: modes",
        '{"modes": true}': "modes goes with preset remi-m; allowed: preset: remi-m, or no modes",
        '{"preset": "remi"}': "preset: input should be 'remi-m' (given: 'remi')",
    }.items():
        with pytest.raises(UserError) as caught:
            validate(TokenizerSettings, json.loads(settings), Place("study.yaml"))
        assert str(caught.value).startswith("study.yaml: ") and words in str(caught.value)


def test_settings_as_a_cell_keeps_them() -> None:
    assert given(REMI_M) == {"preset": "remi-m"}
    assert TokenizerSettings(**REMI_M.model_dump()) == REMI_M
    assert given(TokenizerSettings(preset=None)) == {}
    # what the ids of cells and the cache of tokens are made of, with the default tokenizer, before presets existed
    assert canonical_hash(TokenizerSettings().model_dump(mode="json")) == "12b19c60aa86d1d5"


def test_constraints_hold_in_these_tokens(corpus: TokenCorpus) -> None:
    language = token_language(corpus)
    constraint = ConstraintChoice.parse("grammar+pitch=48:72+chord=2+sounding=3").build(language, corpus.mask_id)
    assert constraint is not None
    sample = SAMPLERS["cached"](
        lambda tokens_BL: torch.zeros(*tokens_BL.shape, corpus.vocab_size), torch.full((4, 96), corpus.mask_id),
        mask_id=corpus.mask_id, steps=12, forbidden_ids=corpus.special_ids, constrain=constraint,
        generator=torch.Generator().manual_seed(0),
    )  # fmt: skip
    for row in constraint.settle(sample.tokens_BL).numpy():
        assert token_errors(row, REMI_M) == 0.0
        notes = token_notes(row, language)
        assert len(notes.at) > 10 and notes.pitch.min() >= 48 and notes.pitch.max() <= 72
        sounding = [(notes.onset <= now) & (now < notes.onset + notes.duration) for now in np.unique(notes.onset)]
        assert max(one.sum() for one in sounding) <= 3
        assert np.unique(notes.onset, return_counts=True)[1].max() <= 2


def test_a_piece_ends_after_the_last_token_of_a_note(corpus: TokenCorpus) -> None:
    automaton = build_automaton(token_language(corpus), grammar=True, chord_limit=None)
    state, ends = 0, []
    for token in tokens_of("Bar_None", "Position_0", "Tempo_60", "Pitch_60", "Duration_0.1.4", "Velocity_64"):
        state = automaton.next_state[state, automaton.symbol_of_token[token]]
        ends.append(not automaton.unfinished[state])
    assert ends == [True, False, True, False, False, True]
