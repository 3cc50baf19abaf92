"""The pattern grammar: what texts mean, which are equal, and where errors point."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from architectures import build, family
from architectures.family import causal_twin, expand_family
from architectures.pattern import BlockPattern, PatternError
from architectures.registry import canonical_pattern


@pytest.mark.parametrize(
    ("text", "letters"),
    [
        ("MFA*2", "MFAMFA"),
        ("M2FA*2", "MMFAMMFA"),
        ("(MF)3A*2", "MFMFMFAMFMFMFA"),
        ("AF*3", "AFAFAF"),
        ("A(MF)2", "AMFMF"),
        (" ( M F ) 2 A ", "MFMFA"),
        ("((MF)2A)2", "MFMFAMFMFA"),
        ("M12", "M" * 12),
    ],
)
def test_a_pattern_unfolds_to_its_mixers(text, letters):
    assert "".join(slot.mixer for slot in BlockPattern.parse(text).slots) == letters


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("MFAMFA*4", "MFA*8"),
        ("(MFA)8", "MFA*8"),
        ("(MFA*1)", None),
        ("MMFA*4", "M2FA*4"),
        ("MFMFMFA*2", "(MF)3A*2"),
        ("(MF)4(AF)4", "(MF)4(AF)4"),
        ("A1", "A"),
        ("[gla2]2A", "[gla2]2A"),
        ("X(b=1,a)F", "X(a,b=1)F"),
    ],
)
def test_equal_patterns_have_one_canonical_text(text, canonical):
    if canonical is None:
        with pytest.raises(PatternError, match="character 5"):
            BlockPattern.parse(text)
        return
    assert str(BlockPattern.parse(text)) == canonical


@given(st.lists(st.sampled_from("MFA"), min_size=1, max_size=20).map("".join))
@settings(max_examples=200, deadline=None)
def test_the_canonical_text_reads_back_as_the_same_sequence(letters):
    pattern = BlockPattern.parse(letters)
    again = BlockPattern.parse(str(pattern))
    assert "".join(slot.mixer for slot in again.slots) == letters
    assert str(again) == str(pattern)


def test_options_are_values_of_their_own_type():
    (slot,) = BlockPattern.parse("A(window=128, scale=0.5, causal=true, kind=rope, plain)").slots
    assert dict(slot.options) == {"window": 128, "scale": 0.5, "causal": True, "kind": "rope", "plain": True}


def test_a_parenthesis_with_a_capital_after_a_mixer_is_a_group():
    assert [str(slot) for slot in BlockPattern.parse("A(window=8)(MF)2").slots] == ["A(window=8)", "M", "F", "M", "F"]


@pytest.mark.parametrize(
    ("text", "character", "says"),
    [
        ("", 1, "at least one mixer"),
        ("mfa", 1, "capital letter"),
        ("MF*0", 4, "1 or more"),
        ("MF*", 4, "a count after"),
        ("MFA*8A", 6, "stands last"),
        ("M(FA", 2, "not closed"),
        ("M()F", 3, "empty group"),
        ("MF)A", 3, "not expected"),
        ("[gla", 5, "not closed"),
        ("M(window=", 10, "a value"),
        ("M(a=1,a=2)", 7, "given twice"),
        ("(MF)9999", 1, "more than 1024"),
        ("(" * 3000 + "M" + ")" * 3000, 101, "groups in more than 100 others"),
        ("M-F", 2, "capital letter"),
    ],
)
def test_an_error_points_at_the_character(text, character, says):
    with pytest.raises(PatternError, match=says) as caught:
        BlockPattern.parse(text)
    assert f"character {character} " in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "character", "says"),
    [
        ("MFX*8", 3, "no mixer 'X'; known: A C D F G H M S"),
        ("FM(sideways)", 2, "no option 'sideways'; allowed: forward, backward, bidirectional"),
        ("A(window=1.5)", 1, "not of type int"),
        ("M(direction=up)", 1, "allowed: forward, backward, bidirectional"),
        ("M(forward,direction=backward)", 1, "given twice"),
    ],
)
def test_unknown_mixers_and_options_point_at_the_character(text, character, says):
    with pytest.raises(PatternError, match=says) as caught:
        canonical_pattern(text)
    assert f"character {character} " in str(caught.value)


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("M(forward)F", "MF"),
        ("[mamba]F", "MF"),
        ("M(direction=bidirectional, weights=split)F", "M(bidirectional)F"),
        ("M(tied,bidirectional)", "M(bidirectional,tied)"),
        ("A(window=0)A(positions=rope)", "A*2"),
        ("M(state=16)", "M(state=16)"),  # a size is kept: the backbone may have another default
    ],
)
def test_words_and_defaults_reduce_to_one_form(text, canonical):
    assert str(canonical_pattern(text)) == canonical


def test_six_orders_are_two_cycles():
    patterns = expand_family("permute(MFA)*8")
    assert [str(pattern) for pattern in patterns] == ["MFA*8", "MAF*8", "FMA*8", "FAM*8", "AMF*8", "AFM*8"]
    cycles = {str(pattern): pattern.cycle for pattern in patterns}
    assert cycles["MFA*8"] == cycles["FAM*8"] == cycles["AMF*8"] == "AMF"
    assert cycles["MAF*8"] == cycles["AFM*8"] == cycles["FMA*8"] == "AFM"


@pytest.mark.parametrize(
    ("text", "patterns"),
    [
        ("M{1..3}FA*2", ["MFA*2", "M2FA*2", "M3FA*2"]),
        ("M{1,4}A", ["MA", "M4A"]),
        ("place(A, MF*2)", ["A(MF)2", "MA(FM)F", "MFAMF", "MFMAF", "(MF)2A"]),
        ("place(A(causal,window=8), M)", ["A(causal,window=8)M", "MA(causal,window=8)"]),
        ("place(MA(window=8)F, M)", ["MA(window=8)FM", "M2A(window=8)F"]),
        ("permute(MMF)", ["M2F", "MFM", "FM2"]),
        ("permute(MF)A{1,2}*3", ["MFA*3", "FMA*3", "MFA2*3", "FMA2*3"]),
        ("permute(M(backward)F)", ["M(backward)F", "FM(backward)"]),
        ("AF*12", ["AF*12"]),
    ],
)
def test_a_family_unfolds(text, patterns):
    written = [str(canonical_pattern(pattern)) for pattern in patterns]
    assert [str(pattern) for pattern in expand_family(text)] == written


@pytest.mark.parametrize("malformed", ["permute(MFA", "M{}F", "M{3..1}", "M{0,1}", "place(A)", "permute(MFACSGH)"])
def test_a_malformed_family_is_refused(malformed):
    with pytest.raises(PatternError):
        expand_family(malformed)


def test_a_family_without_end_is_refused(monkeypatch):
    monkeypatch.setattr(family, "FAMILY_LIMIT", 5)
    assert len(expand_family("M{1..5}F")) == 5
    with pytest.raises(PatternError, match="more than 5 patterns"):
        expand_family("M{1..6}F")


def test_a_family_of_more_texts_than_anyone_reads_is_refused_before_all_are_written(monkeypatch):
    read = []
    monkeypatch.setattr(family, "canonical_pattern", lambda text: read.append(text) or canonical_pattern("MF"))
    with pytest.raises(PatternError, match="more than 1000 patterns"):
        expand_family("M{1..9999}F{1..9999}A{1..9999}")
    assert len(read) == family.MOST_WRITTEN + 2


@pytest.mark.parametrize(
    ("text", "twin"),
    [
        ("AF*2", "A(causal)F*2"),
        ("A(window=8)C", "A(causal,window=8)C(causal)"),
        ("M(bidirectional)FM(backward)", "MFM"),
        ("S(bidirectional)G(bidirectional)H(bidirectional)F", "SGHF"),
        ("M(bidirectional,tied)", "M(tied)"),
        ("A(causal)MF", "A(causal)MF"),
        ("F(conv=4)D(bidirectional)", "F(causal,conv=4)D"),
    ],
)
def test_the_causal_twin_reads_forward_alone(text, twin):
    assert str(causal_twin(text)) == twin
    if "H" not in text:
        networks = [build(one, vocab_size=8, width=16, stride=1, seed=3) for one in (text, twin)]
        assert all(mixer.causal for mixer in networks[1].mixers())
        states = [network.state_dict() for network in networks]
        assert states[0].keys() == states[1].keys()
        assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])


def test_a_mixer_without_a_causal_form_is_refused(monkeypatch):
    monkeypatch.setattr(family, "mixer_options", lambda cls: {})
    with pytest.raises(PatternError, match=r"mixer A has no causal form"):
        causal_twin("FA")
