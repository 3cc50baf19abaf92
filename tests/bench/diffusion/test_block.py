"""Block diffusion and autoregression: masks, losses, bounds and exact likelihoods of networks of a few weights."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from scipy.stats import chisquare

from architectures import build
from bench.diffusion import AbsorbingDiffusion, Autoregressive, BlockDiffusion, DiffusionError, generator_for
from bench.diffusion.block import TwoStream
from bench.diffusion.exact import SampledLaw, calls_of_law, sampler_bits
from bench.diffusion.noised import nll_at

BOUND = {"steps": None, "loss": "mdlm"}


def sequences(states: int, length: int, *, pad: int = 0) -> np.ndarray:
    """All sequences of so many tokens, followed by `pad` positions of PAD."""
    found = np.array(list(itertools.product(range(states), repeat=length)))
    return np.pad(found, ((0, 0), (0, pad)), constant_values=states + 1)


def process_of(network, block: int, **more: object) -> BlockDiffusion:
    return BlockDiffusion(network.mask_id, network.pad_id, block=block, **more)  # type: ignore[arg-type]


def law_of(network, block: int) -> SampledLaw:
    process = process_of(network, block)
    return SampledLaw(process, process.as_called(network), batch=64)


def bound_by_enumeration(network, windows: np.ndarray, block: int) -> np.ndarray:
    """The bound of each window in nats: over blocks and their sets S of masked tokens the sum of -log p over S, each
    set with its chance under k uniform on 1..c, times c / k."""
    nats_W = np.zeros(len(windows))
    for row, clean_L in enumerate(windows):
        for first in range(0, len(clean_L), block):
            places = [i for i in range(first, first + block) if clean_L[i] != network.pad_id]
            for k in range(1, len(places) + 1):
                for chosen in itertools.combinations(places, k):
                    noisy = torch.tensor(clean_L)[None].clone()
                    noisy[0, list(chosen)] = network.mask_id
                    with torch.no_grad():
                        logits_BLV = network.two_stream(noisy, torch.tensor(clean_L)[None], block)
                    never, index = torch.tensor([network.mask_id, network.pad_id]), torch.tensor(chosen)
                    nll = nll_at(logits_BLV, index, torch.tensor(clean_L)[index], never).double().sum()
                    nats_W[row] += float(nll) / k / math.comb(len(places), k)
    return nats_W


def test_probabilities_of_all_sequences_add_up_to_one_token_by_token() -> None:
    network = build("A(causal)F*1", vocab_size=6, width=8, stride=1, head_width=4, seed=0).eval()
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, generator=generator_for("weights"))
    bits = Autoregressive(4, 5).bits_per_token(network, sequences(4, 3), batch=64)
    assert np.exp(-np.array(bits.nats)).sum() == pytest.approx(1, abs=1e-5)  # 4 where the first token is not counted
    assert (bits.low, bits.high, bits.n_draws) == (bits.value, bits.value, 1) and set(bits.tokens) == {3}


@pytest.mark.parametrize(("block", "pad"), [(1, 0), (2, 1), (4, 1), (3, 0)])
@pytest.mark.parametrize("per_call", [1, 2])
def test_probabilities_of_all_sequences_add_up_to_one_by_blocks(two_streams, block: int, pad: int, per_call: int):
    windows = sequences(4, 3, pad=pad)
    nats = law_of(two_streams(4), block).exact(windows, np.arange(64), per_call=per_call)
    assert np.exp(-nats).sum() == pytest.approx(1, abs=1e-5)
    assert np.exp(-nats).max() > 3 / 64  # far from uniform


def test_a_block_of_one_token_is_the_chain_rule(two_streams) -> None:
    network, windows = two_streams(3), sequences(3, 4)
    exact = law_of(network, 1).exact(windows, np.arange(81), per_call=1)[:, 0]
    assert exact == pytest.approx(bound_by_enumeration(network, windows, 1), abs=1e-5)
    bits = process_of(network, 1).bits_per_token(TwoStream(network, 1), windows, draws=2, batch=200)
    assert np.array(bits.nats) == pytest.approx(exact, abs=1e-5) and bits.high == bits.low


@pytest.mark.parametrize("block", [2, 4])
def test_the_bound_is_above_the_exact_figure_window_by_window(two_streams, block: int) -> None:
    network, windows = two_streams(3), np.concatenate([sequences(3, 4)[::5], sequences(3, 3, pad=1)[::3]])
    gap = (
        bound_by_enumeration(network, windows, block)
        - law_of(network, block).exact(windows, np.arange(len(windows)), per_call=1)[:, 0]
    )
    assert gap.min() > -1e-5 and gap.max() > 0.01


def test_the_estimated_bound_is_the_enumerated_one(two_streams) -> None:
    network, windows = two_streams(3), np.concatenate([sequences(3, 4)[[7, 60]], sequences(3, 3, pad=1)[[5]]])
    bits = process_of(network, 2).bits_per_token(TwoStream(network, 2), windows, draws=4000, batch=4000)
    expected = bound_by_enumeration(network, windows, 2)
    assert bits.low < expected.sum() / 11 / math.log(2) < bits.high and bits.high - bits.low < 0.02
    assert np.array(bits.nats) == pytest.approx(expected, abs=0.05)


def test_loss_weighs_each_block_by_its_own_masks(two_streams) -> None:
    network, clean = two_streams(4), torch.tensor([[0, 1, 2, 3, 0, 1, 2, 5], [3, 3, 1, 0, 2, 5, 5, 5]])
    process = process_of(network, 4)
    noised = process.noise(clean, generator_for(3))
    with torch.no_grad():
        loss = process.loss_of(process.as_called(network), noised)
        logits = network.two_stream(noised.tokens_BL, clean, 4)
    logits[..., 4:] = -torch.inf
    nll = -logits.log_softmax(dim=2).gather(2, clean.clamp(max=3)[..., None])[..., 0]
    total = 0.0
    for row, first, count in ((0, 0, 4), (0, 4, 3), (1, 0, 4), (1, 4, 1)):
        masked = noised.masked_BL[row, first : first + 4]
        total += float(count / masked.sum() * nll[row, first : first + 4][masked].sum())
    assert len({int(one.sum()) for one in noised.masked_BL.view(4, 4)}) > 1  # else a weight per row would do
    assert float(loss.loss) == pytest.approx(total / 12, rel=1e-5)
    assert float(loss.elbo_bits_per_token) == pytest.approx(total / 12 / math.log(2), rel=1e-5)
    with torch.no_grad():
        halves = [process.loss_of(process.as_called(network), noised.rows(slice(i, i + 1))).loss for i in (0, 1)]
    assert float(sum(halves)) == pytest.approx(total / 12, rel=1e-5)


def test_every_set_of_masks_of_a_block_is_drawn_with_its_chance() -> None:
    clean = torch.tensor([[0, 0, 0, 0, 0, 6]] * 40)  # blocks of 3 and of 2 tokens
    process, found = BlockDiffusion(5, 6, block=3), np.zeros((2, 8), dtype=int)
    for step in range(200):
        noised = process.noise(clean, generator_for(step))
        bits = (noised.masked_BL.view(40, 2, 3) * torch.tensor([1, 2, 4])).sum(dim=2)
        assert not noised.masked_BL[:, 5].any() and noised.masked_count == int(noised.masked_BL.sum())
        for block in (0, 1):
            found[block] += np.bincount(bits[:, block], minlength=8)
    whole, short = found[0] / 8000, found[1] / 8000
    assert whole == pytest.approx([0] + [1 / 9 if bits != 7 else 1 / 3 for bits in range(1, 8)], abs=0.012)
    assert short == pytest.approx([0, 1 / 4, 1 / 4, 1 / 2, 0, 0, 0, 0], abs=0.012)


def test_numbers_of_masks_are_stratified_over_all_blocks_in_random_order() -> None:
    clean, firsts = torch.zeros(4, 32, dtype=torch.int64), []
    for step in range(60):
        counts = BlockDiffusion(5, 6, block=4).noise(clean, generator_for(step)).masked_BL.view(32, 4).sum(dim=1)
        assert sorted(counts.tolist()) == [1] * 8 + [2] * 8 + [3] * 8 + [4] * 8
        firsts.append(int(counts[0]))
    assert set(firsts) == {1, 2, 3, 4}
    alone = BlockDiffusion(5, 6, block=4, times="uniform").noise(clean, generator_for(0)).masked_BL
    assert np.bincount(alone.view(32, 4).sum(dim=1), minlength=5).tolist() != [0, 8, 8, 8, 8]


@pytest.mark.parametrize("per_call", [1, 2])
@pytest.mark.parametrize("block", [2, 4])
def test_exact_law_is_that_of_the_sampler(two_streams, block: int, per_call: int) -> None:
    network, windows, draws = two_streams(3), sequences(3, 4), 20_000
    process = process_of(network, block)
    law = np.exp(-law_of(network, block).exact(windows, np.arange(81), per_call=per_call)[:, 0])
    drawn = process.sample(
        network, length=4, count=draws, generator=generator_for(block, per_call), sampler="block", reveal=per_call
    ).tokens_BL
    counts = np.bincount(drawn.numpy() @ (3 ** np.arange(4)[::-1]), minlength=81)
    assert chisquare(counts, law / law.sum() * draws).pvalue > 1e-3
    other = np.exp(-law_of(network, block).exact(windows, np.arange(81), per_call=3 - per_call)[:, 0])
    assert chisquare(counts, other / other.sum() * draws).pvalue < 1e-3  # the law of another number a call


def test_estimate_from_orders_is_unbiased_and_above_on_average(two_streams) -> None:
    network, window = two_streams(3), sequences(3, 4)[[13]]
    law = law_of(network, 4)
    exact = law.exact(window, np.arange(1), per_call=2)[0, 0]
    options = {"windows": np.repeat(window, 200, axis=0), "chosen": np.arange(200), "per_call": 2}
    one, many = (law.estimated(**options, orders=orders)[:, 0] for orders in (1, 6))
    error = np.exp(-one).std() / 200**0.5
    assert abs(np.exp(-one).mean() - math.exp(-exact)) < 4 * error
    assert exact < many.mean() < one.mean()


def test_calls_of_a_window_are_those_of_its_reachable_sets(two_streams) -> None:
    assert [calls_of_law(8, r) for r in (1, 2, 4, 8)] == [255, 127, 71, 1]
    network = two_streams(3)
    law = SampledLaw(process_of(network, 4), TwoStream(network, 4), batch=1)
    law.exact(np.zeros((1, 8), dtype=int), np.arange(1), per_call=1)
    assert network.calls == 15


def test_figures_carry_what_they_are(two_streams) -> None:
    network, windows = two_streams(3, longest=16), np.zeros((3, 16), dtype=int)

    def words(block: int, **more: int) -> str:
        return sampler_bits(process_of(network, block), TwoStream(network, block), windows, [0, 2], **more)[1]

    assert words(4, per_call=2) == "exact law of 2 tokens a call by blocks of 4"
    assert words(16, orders=4) == "importance estimate, 4 orders of 1 tokens a call, by blocks of 16"
    assert process_of(network, 4).estimate == "count-form ELBO by blocks of 4"
    plain = AbsorbingDiffusion(3, 4)
    assert plain.estimate == "count-form ELBO"
    with pytest.raises(DiffusionError, match=r"^objective: absorbing draws no blocks; allowed: block$"):
        sampler_bits(plain, network, windows, [0])
    bits, said = sampler_bits(Autoregressive(3, 4), network, windows, [0, 2])
    assert (bits.windows, bits.tokens, said) == ((0, 2), (16, 16), "exact -log2 p by the chain rule")


def test_a_block_as_long_as_the_sequence_is_plain_diffusion(two_streams) -> None:
    network, clean = two_streams(4), torch.randint(0, 4, (6, 8), generator=generator_for("clean"))
    block, plain = process_of(network, 8), AbsorbingDiffusion(4, 5, **BOUND)
    ours, theirs = (process.noise(clean, generator_for(1)) for process in (block, plain))
    for name in ("tokens_BL", "masked_BL", "time_B", "weight_B", "elbo_weight_B"):
        assert torch.equal(getattr(ours, name), getattr(theirs, name))
    losses = block.loss_of(block.as_called(network), ours), plain.loss_of(network, theirs)
    assert torch.equal(losses[0].loss, losses[1].loss)
    windows = clean.numpy()
    assert block.bits_per_token(block.as_called(network), windows) == plain.bits_per_token(network, windows)
    assert block.supervised_share(8) == plain.supervised_share(8) == pytest.approx(0.5)


@pytest.mark.parametrize("pattern", ["A", "M(bidirectional)FA"])
def test_two_streams_of_one_block_are_the_plain_call(pattern: str) -> None:
    network = build(pattern, vocab_size=6, width=8, head_width=4, stride=2, seed=0).eval()
    noisy, clean = (torch.randint(0, 5, (3, 8), generator=generator_for(name)) for name in "ab")
    with torch.no_grad():
        assert network.two_stream(noisy, clean, 8) == pytest.approx(network(noisy), abs=1e-6)


def test_autoregression_reads_mask_then_all_but_the_last_token() -> None:
    clean = torch.tensor([[3, 1, 2, 0], [2, 2, 5, 5]])
    noised = Autoregressive(4, 5).noise(clean, generator_for(0))
    assert noised.tokens_BL.tolist() == [[4, 3, 1, 2], [4, 2, 2, 5]]
    assert noised.masked_BL.tolist() == [[True] * 4, [True, True, False, False]]
    table = torch.randn(6, 6)
    loss = Autoregressive(4, 5).loss_of(lambda tokens: table[tokens], noised)
    shares = table[:, :4].log_softmax(dim=1)
    pairs = [(4, 3), (3, 1), (1, 2), (2, 0), (4, 2), (2, 2)]
    assert float(loss.loss) == pytest.approx(-sum(float(shares[pair]) for pair in pairs) / 6, rel=1e-5)
    assert loss.masked_count == 6 and Autoregressive(4, 5).supervised_share(4) == 1


@pytest.mark.parametrize(("block", "expected"), [(1, 1.0), (2, 0.75), (4, 0.625), (8, 0.5)])
def test_supervised_share_is_the_mean_of_what_is_masked(block: int, expected: float) -> None:
    process, clean = BlockDiffusion(5, 6, block=block), torch.zeros(64, 8, dtype=torch.int64)
    masked = [process.noise(clean, generator_for(step)).masked_count / clean.numel() for step in range(20)]
    assert process.supervised_share(8) == pytest.approx(expected)
    assert np.mean(masked) == pytest.approx(expected, abs=0.02)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: BlockDiffusion(4, 5, block=0), "block: 0 tokens; allowed: 1 or more"),
        (
            lambda: BlockDiffusion(4, 5, block=4, loss="reweighted_elbo", steps=512),
            "objective: block trains on its bound, not on loss reweighted_elbo of schedule linear with steps 512; "
            "allowed: loss mdlm, schedule linear, steps null",
        ),
        (
            lambda: Autoregressive(4, 5, schedule="cosine"),
            "objective: autoregressive trains on its bound, not on loss mdlm of schedule cosine with steps None; "
            "allowed: loss mdlm, schedule linear, steps null",
        ),
        (
            lambda: Autoregressive(4, 5, time_input=True),
            "objective: autoregressive takes a denoiser without time input; allowed: absorbing",
        ),
        (
            lambda: BlockDiffusion(4, 5, block=3).noise(torch.zeros(2, 8).long(), generator_for(0)),
            "block: 3 tokens do not divide a length of 8; allowed: a divisor",
        ),
    ],
)
def test_what_cannot_be_used_is_refused_in_one_line(make, words: str) -> None:
    with pytest.raises(DiffusionError) as error:
        make()
    assert str(error.value) == words


SEES_TOO_MUCH = [
    (
        4,
        "AF",
        {"stride": 4, "block": 6},
        "block: 6 tokens is not a multiple of the stem's stride 4; allowed: a multiple",
    ),
    (
        4,
        "AF",
        {"stride": 4, "kernel": 8, "block": 8},
        "objective: block: backbone AF: kernel 8 of the stem reads tokens",
    ),
    (4, "AF", {"time_conditioning": True, "block": 8}, "objective: block: backbone AF: time_conditioning has one time"),
    (4, "HF", {"block": 8}, r"objective: block: backbone HF: mixer \[hyena\] has no finite state"),
    (1, "A(causal)F", {"stride": 4}, "objective: autoregressive with the stem's stride 4; allowed: stride 1"),
    (1, "AF", {}, r"objective: autoregressive with \[attention\] reading bidirectional; allowed: causal mixers"),
    (1, "M(backward)F", {}, r"objective: autoregressive with \[mamba\] reading backward; allowed: causal mixers"),
    (1, "HF", {}, r"objective: autoregressive: backbone HF: mixer \[hyena\] has no finite state"),
]


@pytest.mark.parametrize(("stride", "pattern", "sizes", "words"), SEES_TOO_MUCH)
def test_networks_that_see_too_much_are_refused(stride: int, pattern: str, sizes: dict, words: str) -> None:
    sizes = {"stride": stride, "width": 8, "head_width": 4} | sizes
    block = sizes.pop("block", None)
    process = BlockDiffusion(4, 5, block=block) if block else Autoregressive(4, 5)
    with pytest.raises(DiffusionError, match=f"^{words}"):
        process.check_network(build(pattern, vocab_size=6, **sizes), 24)


def test_a_network_without_two_streams_is_refused() -> None:
    with pytest.raises(DiffusionError, match="with the denoiser Linear, which has no `two_stream`; allowed: a pattern"):
        BlockDiffusion(4, 5, block=4).check_network(torch.nn.Linear(2, 2), 8)
