"""Likelihood of the music under what a sampler by blocks draws: exact for short blocks, estimated from orders for
longer ones."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import combinations
from typing import Any

import numpy as np
import torch

from bench.diffusion.absorbing import AbsorbingDiffusion
from bench.diffusion.errors import DiffusionError
from bench.diffusion.evaluation import BitsPerToken, bits_of_scores, clean_windows
from bench.diffusion.noised import masked_nll
from bench.diffusion.samplers.request import Denoise, evaluation_mode

EXACT_BLOCK = 8
"""Tokens of the longest block whose law is enumerated: 2^8 - 1 calls a window."""
Each = Callable[[int, int], None]


def calls_of_law(block: int, per_call: int) -> int:
    """Calls a window of full blocks that `law_of_blocks` needs.

    >>> calls_of_law(4, 1), calls_of_law(8, 1), calls_of_law(8, 2)
    (15, 255, 127)
    """
    return len(reachable((1 << block) - 1, per_call))


def reachable(full: int, per_call: int) -> list[int]:
    """Sets of masked places, as bits, in which first-hitting of `per_call` places a call may be before one of its
    calls, begun from `full`; the smallest first."""
    places = [place for place in range(full.bit_length()) if full >> place & 1]
    sizes = range(len(places), 0, -per_call)
    return [sum(1 << place for place in chosen) for size in reversed(sizes) for chosen in combinations(places, size)]


def log_law(log_p_Nb: Mapping[int, np.ndarray], full: int, per_call: int) -> np.ndarray:
    """log q (N,) that first-hitting of `per_call` places a call draws what stands at the places `full`.

    q(nothing) = 1 and q(S) = mean over U in S, |U| = min(per_call, |S|), of prod over i in U of p(x_i | S masked),
    times q(S without U). `log_p_Nb[S]` is log p(x_i | S masked) of N blocks of b places.
    """
    log_q: dict[int, np.ndarray] = {0: np.zeros(len(log_p_Nb[full]))}
    for masked in reachable(full, per_call):
        places = [place for place in range(masked.bit_length()) if masked >> place & 1]
        terms = [
            log_p_Nb[masked][:, list(drawn)].sum(axis=1) + log_q[masked - sum(1 << place for place in drawn)]
            for drawn in combinations(places, min(per_call, len(places)))
        ]
        log_q[masked] = log_mean_exp(np.stack(terms))
    return log_q[full]


def log_mean_exp(values: np.ndarray) -> np.ndarray:
    """log of the mean of exp over the first axis."""
    from scipy.special import logsumexp

    return np.asarray(logsumexp(values, axis=0)) - math.log(len(values))


class SampledLaw:
    """Likelihood of windows under first-hitting by blocks of `per_call` tokens a call, of a process with a `block`.

    What is PAD in a window is known and does not count: the block that it begins in has fewer tokens. `denoise` is a
    network as the process calls it (`as_called`).
    """

    def __init__(
        self, process: AbsorbingDiffusion, denoise: Denoise, *, batch: int = 8, device: torch.device | str = "cpu"
    ) -> None:
        block = getattr(process, "block", None)
        if block is None:
            raise DiffusionError(f"objective: {process.objective} draws no blocks; allowed: block")
        self.process, self.denoise, self.block = process, denoise, int(block)
        self.batch, self.device = batch, device
        self._never = torch.tensor([process.mask_id, process.pad_id])

    def exact(self, windows: np.ndarray, chosen: np.ndarray, *, per_call: int, each: Each | None = None) -> np.ndarray:
        """-log q of each chosen window in nats (W, 1): exact; all blocks of a window share each call."""
        clean_WL, _ = clean_windows(windows, chosen, self.process.pad_id)
        scores_W1 = np.zeros((len(chosen), 1))
        for row, clean_L in enumerate(clean_WL):
            clean_Nb = clean_L.reshape(-1, self.block)
            full_N = (clean_Nb != self.process.pad_id) @ (1 << np.arange(self.block))
            kinds = [int(full) for full in np.unique(full_N) if full]
            sets = sorted({masked for full in kinds for masked in reachable(full, per_call)})
            masked_Sb = np.array(sets)[:, None] >> np.arange(self.block) & 1 == 1
            nll_SNb = self._nll(clean_Nb, np.repeat(masked_Sb[:, None], len(clean_Nb), axis=1))
            log_p_of = dict(zip(sets, -nll_SNb, strict=True))
            for full in kinds:
                mine = {masked: log_p_Nb[full_N == full] for masked, log_p_Nb in log_p_of.items()}
                scores_W1[row, 0] -= log_law(mine, full, per_call).sum()
            if each is not None:
                each(row + 1, len(clean_WL))
        return scores_W1

    def estimated(
        self,
        windows: np.ndarray,
        chosen: np.ndarray,
        *,
        per_call: int,
        orders: int,
        seed: int = 0,
        each: Each | None = None,
    ) -> np.ndarray:
        """-log of the mean probability over `orders` random orders of each block, in nats a window (W, 1): above
        -log q on average, the less the more orders. ceil(block / per_call) calls an order."""
        clean_WL, _ = clean_windows(windows, chosen, self.process.pad_id)
        scores_W1 = np.zeros((len(chosen), 1))
        for row, (window, clean_L) in enumerate(zip(chosen, clean_WL, strict=True)):
            clean_Nb = clean_L.reshape(-1, self.block)
            real_Nb = clean_Nb != self.process.pad_id
            random = np.random.default_rng([seed, int(window), per_call])
            u_ONb = np.where(real_Nb, random.random((orders, *clean_Nb.shape)), 2.0)
            call_ONb = u_ONb.argsort(axis=2).argsort(axis=2) // per_call  # in which place and token are drawn
            calls = -(-self.block // per_call)
            masked_OCNb = (call_ONb[:, None] >= np.arange(calls)[:, None, None]) & real_Nb
            nll_RNb = self._nll(clean_Nb, masked_OCNb.reshape(-1, *clean_Nb.shape))
            nll_OCNb = nll_RNb.reshape(masked_OCNb.shape)
            drawn_OCNb = (call_ONb[:, None] == np.arange(calls)[:, None, None]) & real_Nb
            log_p_ON = -(nll_OCNb * drawn_OCNb).sum(axis=(1, 3))
            scores_W1[row, 0] = -log_mean_exp(log_p_ON).sum()
            if each is not None:
                each(row + 1, len(clean_WL))
        return scores_W1

    def _nll(self, clean_Nb: np.ndarray, masked_RNb: np.ndarray) -> np.ndarray:
        """-log p of each masked token of R copies of a window, given what is not masked: (R, n, b), 0 elsewhere."""
        clean_L = torch.from_numpy(clean_Nb.reshape(-1))
        masked_RL = torch.from_numpy(masked_RNb.reshape(len(masked_RNb), -1)) & (clean_L != self.process.pad_id)
        nll_RL = torch.zeros(masked_RL.shape, dtype=torch.float64)
        with evaluation_mode(self.denoise):
            for first in range(0, len(masked_RL), self.batch):
                masked_BL = masked_RL[first : first + self.batch]
                clean_BL = clean_L.expand(masked_BL.shape)
                noisy_BL = clean_BL.masked_fill(masked_BL, self.process.mask_id).to(self.device)
                logits_BLV = self.process.predict(self.denoise, noisy_BL, clean_BL.to(self.device))
                nll_N = masked_nll(logits_BLV, clean_BL, masked_BL, self._never)
                nll_RL[first : first + self.batch][masked_BL] = nll_N.double().cpu()
        return nll_RL.view(masked_RNb.shape).numpy()


def sampler_bits(
    process: AbsorbingDiffusion,
    denoise: Denoise,
    windows: np.ndarray,
    chosen: Sequence[int] | np.ndarray,
    *,
    per_call: int = 1,
    orders: int = 8,
    seed: int = 0,
    batch: int = 8,
    device: torch.device | str = "cpu",
    each: Each | None = None,
) -> tuple[BitsPerToken, str]:
    """Bits/token of the `chosen` windows (n, L) under the sampler of a process as it runs, and words for what they are.

    Autoregression: exact, one call a window. First-hitting by blocks of up to EXACT_BLOCK tokens, `per_call` a call:
    exact (`SampledLaw.exact`). Longer blocks: estimated from `orders` random orders, which is above the exact figure on
    average. Raises DiffusionError for a process without blocks.
    """
    chosen = np.asarray(chosen)
    if process.objective == "autoregressive":
        bits = process.bits_per_token(denoise, windows[chosen], batch=batch, device=device, each=each)
        nats = np.array(bits.nats)[:, None]
        return bits_of_scores(lambda _: nats, windows, chosen, pad_id=process.pad_id, draws=1), process.estimate
    if per_call < 1:
        raise DiffusionError(f"per_call: {per_call} tokens a call; allowed: 1 or more")
    law = SampledLaw(process, denoise, batch=batch, device=device)
    more: dict[str, Any] = {"per_call": per_call, "each": each}
    if law.block <= EXACT_BLOCK:
        score, words = partial(law.exact, windows, **more), f"exact law of {per_call} tokens a call"
    else:
        score = partial(law.estimated, windows, orders=orders, seed=seed, **more)
        words = f"importance estimate, {orders} orders of {per_call} tokens a call,"
    bits = bits_of_scores(score, windows, chosen, pad_id=process.pad_id, draws=1)
    return bits, f"{words} by blocks of {law.block}"
