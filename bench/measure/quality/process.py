"""The diffusion process of a cell, and the constraint on what is drawn with it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from bench.errors import quoted

if TYPE_CHECKING:
    from bench.data import TokenCorpus
    from bench.diffusion import AbsorbingDiffusion
    from bench.diffusion.constraints import ConstraintSet, TokenLanguage


def build_diffusion(tokens: TokenCorpus, settings: Mapping[str, Any]) -> AbsorbingDiffusion:
    """The process of `settings` (those of a cell's `diffusion`); a multi-scale one takes its powers from the tokens.

    Raises DiffusionError for settings that do not go together.
    """
    from bench.diffusion import AbsorbingDiffusion, DiffusionError, MultiScaleDiffusion, token_powers
    from bench.diffusion.autoregressive import Autoregressive
    from bench.diffusion.block import BlockDiffusion

    chosen = dict(settings)
    powers = chosen.pop("powers", None)
    objective, block = chosen.pop("objective", "absorbing"), chosen.pop("block", None)
    if (objective == "block") != (block is not None):
        given = "no block" if block is None else f"a block of {block} tokens"
        raise DiffusionError(f"block: {given} with objective {objective}; allowed: a block with objective block alone")
    if chosen.get("schedule") != "multi-scale":
        if powers is not None:
            raise DiffusionError(
                f"powers: given with schedule {quoted(chosen.get('schedule'))}; allowed: with multi-scale"
            )
        if block is not None:
            return BlockDiffusion(tokens.mask_id, tokens.pad_id, block=block, **chosen)
        process = Autoregressive if objective == "autoregressive" else AbsorbingDiffusion
        return process(tokens.mask_id, tokens.pad_id, **chosen)
    if objective != "absorbing":
        raise DiffusionError(
            f"objective: {objective} with schedule multi-scale; allowed: absorbing, or schedule linear"
        )
    del chosen["schedule"]
    positions_a_beat = tokens.settings.positions_a_beat
    values = token_powers(tokens.vocabulary, positions_a_beat, powers)
    return MultiScaleDiffusion(tokens.mask_id, tokens.pad_id, values, **chosen)


def build_constraint(tokens: TokenCorpus, wanted: str | None) -> ConstraintSet | None:
    """The constraint on what is drawn (a cell's `sample.constraints`), ranges taken from the training pieces.

    `wanted` None: no constraint. Raises DiffusionError where it cannot be read.
    """
    if wanted is None:
        return None
    from bench.data.music import training_pitch_limits
    from bench.diffusion.constraints import ConstraintChoice

    choice = ConstraintChoice.parse(wanted)
    return choice.build(
        token_language(tokens), tokens.mask_id, pitch_limits=lambda kind: training_pitch_limits(tokens, kind)
    )


def token_language(tokens: TokenCorpus) -> TokenLanguage:
    """The meaning of the corpus's tokens and the types that may follow each other."""
    from bench.data.remi import type_graph
    from bench.diffusion.constraints import TokenLanguage

    return TokenLanguage.of(tokens.vocabulary, type_graph(tokens.settings))
