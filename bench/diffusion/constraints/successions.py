"""Grammar and chord limit as a joint constraint: revealed tokens are drawn together so that a legal whole remains."""

from __future__ import annotations

import numpy as np
import torch

from bench.diffusion.constraints.automaton import CHORD_RULE, RULE_NAMES, SPECIAL, Automaton, build_automaton
from bench.diffusion.constraints.language import TokenLanguage
from bench.diffusion.constraints.paths import NothingLegalError, draw_path
from bench.diffusion.errors import DiffusionError
from bench.diffusion.samplers.drawing import gumbel_argmax


class Successions:
    """Draws whole legal rows and returns the revealed part (a JointConstraint).

    A row is drawn from the product of the positions' softmaxes restricted to rows that keep the rules, given the
    visible tokens: first the symbols (which the rules distinguish) by forward filtering and backward sampling, then a
    token of each symbol. What stays hidden can still be completed: by what was drawn there and thrown away.
    Where given tokens leave no way to keep the chord limit (a given chord above it, between whose notes something is
    drawn), the row goes above it as little as it can; the grammar has no exceptions.
    """

    def __init__(self, language: TokenLanguage, mask_id: int, *, grammar: bool, chord_limit: int | None = None) -> None:
        if chord_limit is not None and chord_limit < 1:
            raise DiffusionError(f"constraint chord={chord_limit}: allowed: 1 note or more")
        self.mask_id = mask_id
        self.automaton: Automaton = build_automaton(language, grammar=grammar, chord_limit=chord_limit)
        self._special = [kind == SPECIAL for kind, _ in self.automaton.symbols].index(True)
        self._tokens_of_symbol = [
            torch.from_numpy(np.flatnonzero(self.automaton.symbol_of_token == symbol))
            for symbol in range(len(self.automaton.symbols))
        ]

    def draw(
        self,
        logits_BLV: torch.Tensor,
        tokens_BL: torch.Tensor,
        reveal_BL: torch.Tensor,
        generator: torch.Generator,
        *,
        scale: float = 1.0,
    ) -> torch.Tensor:
        """See JointConstraint: (B, L) int64 whose revealed entries are drawn. Raises DiffusionError."""
        weight_BLC = self._symbol_weights(logits_BLV).cpu().numpy()
        tokens = tokens_BL.cpu().numpy()
        symbol_BL = np.where(tokens == self.mask_id, -1, self.automaton.symbol_of_token[tokens])
        u_BL = torch.rand(tokens.shape, generator=generator, dtype=torch.float64, device=generator.device).cpu().numpy()
        path_BL = np.empty_like(symbol_BL)
        for row in range(len(tokens)):
            path_BL[row] = self._draw_row(row, weight_BLC[row], symbol_BL[row], u_BL[row], scale)
        drawn_BL = tokens_BL.clone()
        reveal_BL = reveal_BL.to(logits_BLV.device)
        path_N = torch.from_numpy(path_BL).to(logits_BLV.device)[reveal_BL]
        symbol_V = torch.from_numpy(self.automaton.symbol_of_token).to(logits_BLV.device)
        within_NV = logits_BLV[reveal_BL].masked_fill(symbol_V[None, :] != path_N[:, None], float("-inf"))
        drawn_BL[reveal_BL.to(drawn_BL.device)] = gumbel_argmax(within_NV, generator).to(drawn_BL.device)
        return drawn_BL

    def _draw_row(
        self, row: int, weight_LC: np.ndarray, symbol_L: np.ndarray, u_L: np.ndarray, scale: float
    ) -> np.ndarray:
        try:
            return draw_path(self.automaton, weight_LC, symbol_L, u_L, scale=scale)
        except NothingLegalError as error:
            position = error.position
        if (symbol_L >= 0).any():
            try:
                return draw_path(self.automaton, weight_LC, symbol_L, u_L, soft=CHORD_RULE, scale=scale)
            except NothingLegalError:
                pass
        raise self._nothing_legal(row, position, weight_LC, symbol_L, u_L)

    def _symbol_weights(self, logits_BLV: torch.Tensor) -> torch.Tensor:
        columns = [
            logits_BLV[..., ids[0]] if len(ids) == 1 else logits_BLV[..., ids].logsumexp(dim=-1)
            for ids in (ids.to(logits_BLV.device) for ids in self._tokens_of_symbol)
        ]
        weight_BLC = torch.stack(columns, dim=-1)  # B L V -> B L C
        weight_BLC[..., self._special] = float("-inf")
        return weight_BLC

    def _nothing_legal(
        self, row: int, position: int, weight_LC: np.ndarray, symbol_L: np.ndarray, u_L: np.ndarray
    ) -> DiffusionError:
        """The error, naming the rule without which there would be a way, if one alone stands in it."""
        blamed = []
        for rule, name in RULE_NAMES.items():
            try:
                draw_path(self.automaton, weight_LC, symbol_L, u_L, lifted=rule)
                blamed.append(name)
            except NothingLegalError:
                pass
        words = f"; without the {' or the '.join(blamed)} there would be one" if blamed else ""
        return DiffusionError(
            f"constraint: no legal token is left at position {position} of piece {row} that fits the given ones{words}"
        )
