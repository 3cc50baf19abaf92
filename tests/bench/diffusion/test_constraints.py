"""Constraints on what is drawn: against enumeration, on untrained networks, under every sampler, and their errors."""

import itertools

import numpy as np
import pytest
import torch
from sampler_laws import PLAIN

from architectures import build
from bench.data import TokenizerSettings
from bench.data.remi import build_tokenizer, type_graph, vocabulary
from bench.diffusion import SAMPLERS, DiffusionError
from bench.diffusion.constraints import ConstraintChoice, ConstraintSet, TokenLanguage, token_notes
from bench.diffusion.constraints.masks import ScalePrior
from bench.diffusion.constraints.successions import Successions
from bench.diffusion.constraints.voices import SoundingLimit
from bench.diffusion.samplers.constraint import JointConstraint

SETTINGS = TokenizerSettings()
WORDS = vocabulary(SETTINGS)
LANGUAGE = TokenLanguage.of(WORDS, type_graph(SETTINGS))
ID = {word: index for index, word in enumerate(WORDS)}
MASK = ID["MASK_None"]
SPECIAL = [ID["PAD_None"], ID["BOS_None"], ID["EOS_None"]]
TINY_WORDS = ["PAD_None", "MASK_None", "Bar_None", "Position_0", "Position_1", "Pitch_60", "Pitch_62", "Duration_1.0.1"]
TINY = TokenLanguage.of(
    TINY_WORDS,
    {
        "PAD": {"PAD_None", "Bar"},
        "MASK": {"PAD_None"},
        "Bar": {"Bar", "Position", "PAD"},
        "Position": {"Pitch", "PAD"},
        "Pitch": {"Duration", "PAD"},
        "Duration": {"Pitch", "Position", "Bar", "PAD"},
    },
)
BAR, POSITION, PITCH, DURATION = (TINY.ids(name)[0] for name in ("Bar", "Position", "Pitch", "Duration"))


def tokens(*words: str) -> torch.Tensor:
    return torch.tensor([[MASK if word == "?" else ID[word] for word in words]])


def errors(row: np.ndarray) -> tuple[int, int]:
    """MidiTok's count of all errors, and of those that its graph of types names (no graph can see a pitch twice)."""
    words = [WORDS[token] for token in row]
    graph = type_graph(SETTINGS)
    wrong = sum(b.split("_")[0] not in graph[a.split("_")[0]] for a, b in itertools.pairwise(words))
    return build_tokenizer(SETTINGS)._tokens_errors(words), wrong


def written_twice(row: np.ndarray) -> int:
    notes = token_notes(row, LANGUAGE)
    return len(notes.at) - len(set(zip(notes.onset.tolist(), notes.pitch.tolist(), strict=True)))


def legal(row: tuple[int, ...]) -> bool:
    """By hand: a Bar first, types by the graph, positions rise in a bar, at most one note at a position."""
    kinds = [TINY.types[token] for token in row]
    place, count = -1, 0
    for index, (token, kind) in enumerate(zip(row, kinds, strict=True)):
        if kind not in (TINY.follows[kinds[index - 1]] if index else {"Bar"}):
            return False
        if kind == "Bar":
            place, count = -1, 0
        if kind == "Position":
            if TINY.position[token] <= place:
                return False
            place, count = int(TINY.position[token]), 0
        count += kind == "Pitch"
        if count > 1:
            return False
    return True


def test_draws_follow_the_product_of_softmaxes_restricted_to_legal_rows() -> None:
    length, draws = 7, 6000
    logits_LV = torch.randn(length, len(TINY_WORDS), generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    logits_LV[:, :2] = float("-inf")
    rows = [row for row in itertools.product(range(2, 8), repeat=length) if legal(row)]
    finished = [row for row in rows if row[-1] in (BAR, DURATION)]
    assert len(finished) < len(rows)
    weight = np.exp([sum(float(logits_LV[place, token]) for place, token in enumerate(row)) for row in finished])
    expected = draws * weight / weight.sum()
    rules = Successions(TINY, 1, grammar=True, chord_limit=1)
    start_BL = torch.full((draws, length), 1)
    drawn = rules.draw(logits_LV.expand(draws, -1, -1), start_BL, start_BL == 1, torch.Generator().manual_seed(0))
    place = {row: index for index, row in enumerate(finished)}
    seen = np.bincount([place[tuple(row)] for row in drawn.tolist()], minlength=len(finished))
    common = expected >= 5
    chi_square = ((seen - expected) ** 2 / expected)[common].sum()
    degrees = common.sum() - 1
    assert degrees > 15
    assert chi_square < degrees + 4 * np.sqrt(2 * degrees)


@pytest.mark.parametrize("name", PLAIN)
@pytest.mark.parametrize("words", ["grammar", "grammar+chord=2+pitch=60:72+scale"])
def test_no_error_that_the_type_graph_names_from_an_untrained_network(name: str, words: str) -> None:
    network = build("transformer", vocab_size=len(WORDS), width=32, layers=2, seed=0)
    sample = SAMPLERS[name](
        network, torch.full((4, 64), MASK), mask_id=MASK, steps=8, forbidden_ids=SPECIAL, temperature=0.7, top_p=0.9,
        generator=torch.Generator().manual_seed(1), constrain=ConstraintChoice.parse(words).build(LANGUAGE, MASK),
    )  # fmt: skip
    assert not (sample.tokens_BL == MASK).any()
    for row in sample.tokens_BL.numpy():
        counted, wrong = errors(row)
        assert wrong == 0
        assert counted == written_twice(row)  # positions go forward as well
        notes = token_notes(row, LANGUAGE)
        if "chord" in words:
            assert np.unique(notes.onset, return_counts=True)[1].max() <= 2
            assert notes.pitch.min() >= 60
            assert notes.pitch.max() <= 72


def test_without_the_constraint_the_same_network_makes_errors() -> None:
    network = build("transformer", vocab_size=len(WORDS), width=32, layers=2, seed=0)
    sample = SAMPLERS["cached"](
        network, torch.full((2, 64), MASK), mask_id=MASK, steps=8, forbidden_ids=SPECIAL,
        generator=torch.Generator().manual_seed(1),
    )  # fmt: skip
    assert errors(sample.tokens_BL[0].numpy())[1] > 20


def test_a_chord_limit_holds_without_the_grammar() -> None:
    notes_first = torch.zeros(len(WORDS))
    notes_first[LANGUAGE.ids("Pitch")] = 3.0
    sample = SAMPLERS["cached"](
        lambda tokens_BL: notes_first.expand(*tokens_BL.shape, -1), torch.full((64, 48), MASK), mask_id=MASK, steps=6,
        forbidden_ids=SPECIAL, generator=torch.Generator().manual_seed(1),
        constrain=ConstraintChoice.parse("chord=2").build(LANGUAGE, MASK),
    )  # fmt: skip
    for row in sample.tokens_BL.numpy():
        is_pitch, steps = LANGUAGE.pitch[row] >= 0, LANGUAGE.position[row]
        bar = np.cumsum(row == ID["Bar_None"])
        place, last = [], (0, 0)
        for index in range(len(row)):  # where a decoder would put each Pitch, whole note or not
            if row[index] == ID["Bar_None"]:
                last = (int(bar[index]), 0)
            elif steps[index] >= 0:
                last = (int(bar[index]), int(steps[index]))
            if is_pitch[index]:
                place.append(last)
        assert max(map(place.count, place), default=0) <= 2


def test_given_tokens_bound_what_is_drawn() -> None:
    rules = ConstraintChoice.parse("grammar").build(LANGUAGE, MASK)
    assert isinstance(rules, JointConstraint)
    row = tokens("Bar_None", "Position_4", "?", "?", "?", "Position_5", "Pitch_60", "Velocity_63", "?", "?", "Bar_None")
    logits = torch.zeros(1, row.shape[1], len(WORDS), dtype=torch.float64)
    logits[..., [*SPECIAL, MASK]] = float("-inf")
    drawn = rules.draw(logits, row, row == MASK, torch.Generator().manual_seed(0))
    kinds = [LANGUAGE.types[token] for token in drawn[0]]
    assert kinds[2:5] == ["Pitch", "Velocity", "Duration"]
    assert kinds[8:10] == ["Duration", "Bar"]
    assert (drawn[row != MASK] == row[row != MASK]).all()


def test_given_music_that_breaks_the_rules_is_taken_as_it_is() -> None:
    rules = ConstraintChoice.parse("grammar+chord=1").build(LANGUAGE, MASK)
    assert isinstance(rules, JointConstraint)
    note = ("Velocity_63", "Duration_0.1.8")
    row = tokens("Bar_None", "Position_9", "Pitch_60", *note, "Pitch_64", *note, "Position_3", "Position_2", *["?"] * 3)
    logits = torch.zeros(1, row.shape[1], len(WORDS), dtype=torch.float64)
    drawn = rules.draw(logits, row, row == MASK, torch.Generator().manual_seed(0))
    assert [LANGUAGE.types[token] for token in drawn[0, -3:]] == ["Pitch", "Velocity", "Duration"]


@pytest.mark.parametrize(
    ("words", "row", "message"),
    [
        ("grammar", ("Bar_None", "?", "?", "Pitch_60"), "position 1 of piece 0 .*without the grammar there"),
        (
            "grammar",
            ("Bar_None", "Position_9", "?", "?", "?", "Position_2"),
            r"the grammar \(time goes forward\)",
        ),
    ],
)
def test_what_stands_in_the_way_is_named(words: str, row: tuple[str, ...], message: str) -> None:
    rules = ConstraintChoice.parse(words).build(LANGUAGE, MASK)
    assert isinstance(rules, JointConstraint)
    given = tokens(*row)
    logits = torch.full((1, len(row), len(WORDS)), float("-inf"), dtype=torch.float64)
    logits[..., LANGUAGE.ids("Pitch", "Velocity", "Duration")] = 0.0
    with pytest.raises(DiffusionError, match=message):
        rules.draw(logits, given, given == MASK, torch.Generator())


def test_a_given_chord_above_the_limit_gets_no_more_notes_than_it_must() -> None:
    rules = ConstraintChoice.parse("grammar+chord=1").build(LANGUAGE, MASK)
    assert isinstance(rules, JointConstraint)
    forced = ("Position_9", "?", "?", "?", "Pitch_61", "?", "?", "Pitch_65", "Velocity_63", "?", *["?"] * 7)
    row = tokens("Bar_None", *forced, "Bar_None")
    logits = torch.zeros(1, row.shape[1], len(WORDS), dtype=torch.float64)
    drawn = rules.draw(logits, row, row == MASK, torch.Generator().manual_seed(0))[0].numpy()
    assert errors(drawn)[1] == 0
    onsets = token_notes(drawn, LANGUAGE).onset
    assert (onsets == 9 / 8).sum() == 3  # one drawn between Position and Pitch, since nothing else fits, two given
    assert np.unique(onsets[onsets > 9 / 8], return_counts=True)[1].max(initial=0) <= 1


def test_voices_are_stolen_until_no_more_sound_than_allowed() -> None:
    start = ("Bar_None", "Position_0", "Pitch_60", "Velocity_63", "Duration_2.4.8", "Pitch_64", "Velocity_63")
    row = tokens(*start, "Duration_3.4.8", "Position_4", "Pitch_67", "Velocity_63", "Duration_1.0.8")[0].numpy()
    settled = token_notes(SoundingLimit(LANGUAGE, 2).settle(row, np.ones(len(row), bool)), LANGUAGE)
    assert settled.duration.tolist() == [0.5, 3.5, 1.0]  # the lower of the two oldest is let go at the new note
    given = np.ones(len(row), bool)
    given[4] = False
    assert token_notes(SoundingLimit(LANGUAGE, 2).settle(row, given), LANGUAGE).duration.tolist() == [2.5, 0.5, 1.0]


def test_a_scale_named_pulls_its_tones_and_without_one_the_pitches_seen_decide() -> None:
    nothing, c_major = tokens("?", "?"), tokens(*(f"Pitch_{pitch}" for pitch in (60, 62, 64, 65, 67, 69, 71)))
    zeros = torch.zeros(1, 1, len(WORDS), dtype=torch.float64)
    named = ScalePrior(LANGUAGE, "C major")(zeros, nothing)[0, 0]
    assert float(named[ID["Pitch_60"]] - named[ID["Pitch_61"]]) == pytest.approx(np.log((0.95 / 7) / (0.05 / 5)))
    assert float(named[ID["Bar_None"]]) == 0
    open_row = ScalePrior(LANGUAGE)(zeros, nothing)[0, 0]
    assert float(open_row[ID["Pitch_60"]]) == pytest.approx(float(open_row[ID["Pitch_61"]]))
    settled = ScalePrior(LANGUAGE)(zeros, c_major)[0, 0]
    assert float(settled[ID["Pitch_64"]] - settled[ID["Pitch_66"]]) > 1


def test_choices_are_read_and_written_the_same_way() -> None:
    words = "grammar+pitch=40:80+chord=4+sounding=6+scale=F# minor"
    assert ConstraintChoice.parse(words).words() == words
    assert ConstraintChoice.parse(["grammar", "pitch=percentile"]).needs_training_pitches
    assert ConstraintChoice.parse("none").build(LANGUAGE, MASK) is None
    alone = ConstraintChoice.parse("pitch=40:80").build(LANGUAGE, MASK)
    assert isinstance(alone, ConstraintSet)
    assert not isinstance(alone, JointConstraint)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("rhyme", "rhyme: not known; allowed: grammar, pitch=LOW:HIGH"),
        ("chord=0", "chord=0: not known"),
        ("grammar+grammar", "given twice"),
        ("pitch=80:40", "the lower one first"),
        ("scale=H dur", "a name like 'C major'"),
    ],
)
def test_choices_that_cannot_be_used_are_one_line(words: str, message: str) -> None:
    with pytest.raises(DiffusionError, match=message):
        ConstraintChoice.parse(words)


def test_a_pitch_range_without_a_pitch_is_refused() -> None:
    with pytest.raises(DiffusionError, match=r"no pitch of the vocabulary .* meets 21:109"):
        ConstraintChoice.parse("pitch=0:20").build(LANGUAGE, MASK)
    with pytest.raises(DiffusionError, match="training music is not at hand"):
        ConstraintChoice.parse("pitch=range").build(LANGUAGE, MASK)


def test_token_notes_are_those_that_miditok_decodes() -> None:
    random = np.random.default_rng(0).integers(4, len(WORDS), 4000)
    ours = token_notes(random, LANGUAGE)
    score = build_tokenizer(SETTINGS).decode([[int(token) for token in random]])
    theirs = score.tracks[0].notes.numpy()
    quarter = score.ticks_per_quarter
    assert len(ours.at) > 5
    assert sorted(zip(ours.onset, ours.duration, ours.pitch, ours.velocity, strict=True)) == sorted(
        zip(theirs["time"] / quarter, theirs["duration"] / quarter, theirs["pitch"], theirs["velocity"], strict=True)
    )


@pytest.mark.parametrize("temperature", [1.0, 1e-3, 1e-5, 0.0])
def test_a_piece_ends_with_a_whole_note_at_any_temperature(temperature: float) -> None:
    """The network is a little surer of a Pitch at the end; a note that no piece finishes is worse all the same."""
    logits_LV = torch.zeros(7, len(TINY_WORDS))
    logits_LV[-1, PITCH] = 0.05
    rules = ConstraintChoice.parse("grammar").build(TINY, 1)
    sample = SAMPLERS["first-hitting"](
        lambda x: logits_LV.expand(*x.shape, -1).clone(),
        torch.full((20, 7), 1),
        mask_id=1,
        forbidden_ids=(0,),
        steps=7,
        generator=torch.Generator().manual_seed(0),
        temperature=temperature,
        constrain=rules,
    )
    assert {TINY.types[int(token)] for token in sample.tokens_BL[:, -1]} <= {"Bar", "Duration"}


def test_a_given_chord_above_the_limit_grows_no_more_at_temperature_zero() -> None:
    row = tokens("Bar_None", "Position_0", "Pitch_60", "Velocity_63", "Duration_1.0.8", "?", "?", "?", "Pitch_64")
    row = torch.cat([row, tokens("Velocity_63", "Duration_1.0.8")], dim=1)
    rules = ConstraintChoice.parse("grammar+chord=1").build(LANGUAGE, MASK)
    assert isinstance(rules, JointConstraint)
    logits = torch.zeros(1, row.shape[1], len(WORDS), dtype=torch.float64).index_fill(2, torch.tensor(SPECIAL), -np.inf)
    logits[..., ID["Pitch_72"]] = 0.2
    logits[..., MASK] = -np.inf
    drawn = rules.draw(logits * 1e9, row, row == MASK, torch.Generator().manual_seed(0), scale=1e9)[0].numpy()
    notes = token_notes(drawn, LANGUAGE)
    assert len(notes.at) == 2 and len(set(notes.onset)) == 2
