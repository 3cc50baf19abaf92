"""What every sampler keeps to: the calls it counts, what is given, what it refuses."""

from __future__ import annotations

import pytest
import torch
from sampler_laws import PLAIN

from bench.diffusion import SAMPLERS, AbsorbingDiffusion, DiffusionError, MultiScaleDiffusion, generator_for
from bench.diffusion.samplers import ancestral, cached, first_hitting
from bench.diffusion.schedule import Schedule


def test_cached_draws_what_ancestral_draws_with_fewer_calls() -> None:
    table = torch.randn(12, 12, generator=generator_for("table"))
    tokens = torch.full((6, 24), 10)
    calls: list[int] = []

    def denoise(tokens: torch.Tensor) -> torch.Tensor:
        calls.append(len(tokens))
        shifted = torch.cat((tokens[:, 1:], tokens[:, :1]), dim=1)
        return table[tokens] + table[shifted]

    options = {"mask_id": 10, "steps": 100, "forbidden_ids": [11]}
    plain = ancestral(denoise, tokens, generator=generator_for("draw"), **options)
    assert plain.nfe == [100] * 6 and calls == [6] * 100
    calls.clear()
    saving = cached(denoise, tokens, generator=generator_for("draw"), **options)
    assert torch.equal(plain.tokens_BL, saving.tokens_BL)
    assert sum(saving.nfe) == sum(calls) < 600 and saving.nfe_mean == sum(calls) / 6


@pytest.mark.parametrize("sampler", PLAIN)
def test_specials_are_never_drawn_and_no_mask_is_left(sampler: str) -> None:
    def denoise(tokens: torch.Tensor) -> torch.Tensor:
        logits = torch.zeros(*tokens.shape, 8)
        logits[..., 4:] = 50.0  # an untrained network may prefer MASK, PAD, BOS, EOS
        return logits

    process = AbsorbingDiffusion(4, 5, steps=7)
    sample = process.sample(
        denoise, length=40, count=5, generator=generator_for(0), sampler=sampler, forbidden_ids=(6, 7)
    )
    assert set(sample.tokens_BL.unique().tolist()) == {0, 1, 2, 3} and sample.tokens_BL.dtype == torch.int64


@pytest.mark.parametrize("sampler", PLAIN)
def test_given_tokens_stay(sampler: str) -> None:
    tokens = torch.full((3, 10), 4)
    tokens[:, 2:5] = torch.tensor([1, 2, 3])
    fixed = torch.zeros(3, 10, dtype=torch.bool)
    fixed[:, 2:5] = True
    sample = SAMPLERS[sampler](
        lambda x: torch.zeros(*x.shape, 5), tokens, mask_id=4, steps=6, generator=generator_for(0), fixed=fixed
    )
    assert sample.tokens_BL[:, 2:5].tolist() == [[1, 2, 3]] * 3 and not (sample.tokens_BL == 4).any()
    assert tokens[0, 0] == 4  # the caller's tensor is untouched
    whole = SAMPLERS["cached"](
        lambda x: torch.zeros(*x.shape, 5), sample.tokens_BL, mask_id=4, steps=6, generator=generator_for(0)
    )
    assert whole.nfe == [0, 0, 0] and torch.equal(whole.tokens_BL, sample.tokens_BL)


def test_sampling_leaves_the_module_as_it_was_and_uses_no_dropout() -> None:
    network = torch.nn.Sequential(torch.nn.Embedding(6, 6), torch.nn.Dropout(0.5)).train()
    modes: list[bool] = []
    network[1].register_forward_hook(lambda module, *_: modes.append(module.training))
    AbsorbingDiffusion(4, 5, steps=3).sample(network, length=4, count=2, generator=generator_for(0))
    assert modes == [False] * 3 and network.training


def test_progress_counts_the_steps_and_time_reaches_the_denoiser() -> None:
    seen, times = [], []

    def denoise(tokens: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
        times.append(time.tolist())
        return torch.zeros(*tokens.shape, 6)

    process = AbsorbingDiffusion(4, 5, steps=4, time_input=True)
    process.sample(
        denoise, length=4, count=2, generator=generator_for(0), progress=lambda done, steps: seen.append((done, steps))
    )
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert times == [[1.0, 1.0], [0.75, 0.75], [0.5, 0.5], [0.25, 0.25]]


def test_errors_name_the_setting() -> None:
    process = AbsorbingDiffusion(4, 5)

    def sample(**options: object) -> None:
        call = {"length": 4, "count": 1, "generator": generator_for(0)} | options
        process.sample(lambda x: torch.zeros(*x.shape, 6), **call)

    for options, message in (
        ({"steps": 0}, "steps: 0 sampling steps are too few"),
        ({"temperature": -1.0}, "temperature: -1.0 is not allowed"),
        ({"sampler": "leap"}, "sampler: 'leap' is not known; allowed: ancestral, cached, "),
        ({"length": 0}, "length, count: 0 tokens"),
        ({"fixed": torch.ones(1, 4, dtype=torch.bool)}, "fixed: a fixed position holds MASK"),
        ({"fixed": torch.zeros(1, 3, dtype=torch.bool)}, "fixed: shape \\(1, 3\\), torch.bool; allowed"),
    ):
        with pytest.raises(DiffusionError, match=message):
            sample(**options)


def uniform(tokens: torch.Tensor) -> torch.Tensor:
    return torch.zeros(*tokens.shape, 3)


@pytest.mark.parametrize(("length", "calls"), [(2048, 871.2), (256, 226.0)])
def test_cached_calls_are_as_few_as_the_formula_says(length: int, calls: float) -> None:
    assert 1000 * (1 - (1 - 1 / 1000) ** length) == pytest.approx(calls, abs=0.1)
    sample = cached(uniform, torch.full((16, length), 2), mask_id=2, steps=1000, generator=generator_for("nfe"))
    spread = torch.tensor(sample.nfe).double().std().item()
    assert sample.nfe_mean == pytest.approx(calls, abs=4 * spread / 4) and 0 < spread < 12
    alone = cached(uniform, torch.full((1, length), 2), mask_id=2, steps=1000, generator=generator_for("nfe of one"))
    assert alone.nfe[0] == pytest.approx(calls, abs=5 * spread)


@pytest.mark.parametrize("pieces", [1, 16])
def test_first_hitting_makes_a_call_for_every_k_positions(pieces: int) -> None:
    tokens = torch.full((pieces, 2048), 2)
    sample = first_hitting(uniform, tokens, mask_id=2, per_call=3, generator=generator_for(0))
    assert sample.nfe == [683] * pieces
    within = first_hitting(uniform, tokens, mask_id=2, steps=128, generator=generator_for(0))
    assert within.nfe == [128] * pieces
    tokens[0, :2043] = 1
    assert first_hitting(uniform, tokens, mask_id=2, per_call=3, generator=generator_for(0)).nfe[0] == 2


def test_first_hitting_makes_at_most_the_calls_asked_for_of_what_is_masked() -> None:
    tokens = torch.ones(4, 512, dtype=torch.int64)
    for row, masked in enumerate((128, 100, 5, 0)):
        tokens[row, :masked] = 2
    sample = first_hitting(uniform, tokens, mask_id=2, steps=32, generator=generator_for(0))
    assert sample.nfe == [32, 25, 5, 0] and not (sample.tokens_BL == 2).any()  # 4, 4 and 1 positions a call
    assert first_hitting(uniform, tokens, mask_id=2, steps=3, generator=generator_for(0)).nfe == [3, 3, 3, 0]


def test_first_hitting_tells_the_time_of_the_reveal() -> None:
    times: list[float] = []

    def denoise(tokens: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
        times.extend(time.tolist())
        return torch.zeros(*tokens.shape, 6)

    for _ in range(200):
        process = AbsorbingDiffusion(4, 5, schedule="cosine", time_input=True)
        process.sample(
            denoise, length=3, count=20, steps=3, sampler="first-hitting", generator=generator_for(len(times))
        )
    hidden = torch.cos(torch.pi / 2 * (1 - torch.tensor(times).view(-1, 3, 20).double())).mean(dim=(0, 2))
    # the greatest, the middle, the least of three uniform numbers; 4,000 draws of spread below 0.23
    assert hidden.tolist() == pytest.approx([0.75, 0.5, 0.25], abs=0.015)


def test_first_hitting_tells_the_time_of_rows_that_are_partly_given() -> None:
    times: list[torch.Tensor] = []

    def denoise(tokens: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
        times.append(time.view(2, -1).double().mean(dim=1))
        return torch.zeros(*tokens.shape, 6)

    tokens = torch.full((8_000, 4), 4)
    tokens[4_000:, 2:] = 1
    first_hitting(denoise, tokens, mask_id=4, steps=2, time_input=True, generator=generator_for("times"))
    # of four uniform numbers the greatest and the third, two a call; of two the greatest and the least
    assert torch.stack(times).flatten().tolist() == pytest.approx([4 / 5, 2 / 3, 2 / 5, 1 / 3], abs=0.02)


@pytest.mark.parametrize("name", ["linear", "cosine", "geometric"])
def test_the_time_of_a_share_is_the_inverse_of_the_schedule(name: str) -> None:
    schedule, time = Schedule(name), torch.linspace(0.05, 0.95, 19, dtype=torch.float64)
    torch.testing.assert_close(schedule.time_of(1 - schedule.alpha(time)), time, atol=1e-9, rtol=0)


@pytest.mark.gpu
@pytest.mark.gpu_short
@pytest.mark.parametrize("sampler", PLAIN)
def test_a_gpu_draws_from_a_generator_on_the_cpu(sampler: str) -> None:
    table = torch.randn(12, 12, generator=generator_for("table"))  # no two alike: which of equals is drawn is open
    tokens = torch.full((3, 24), 10)

    def draw(device: str) -> torch.Tensor:
        weights = table.to(device)
        sample = SAMPLERS[sampler](
            lambda x: weights[x], tokens.to(device), mask_id=10, steps=6, generator=generator_for(0),
            forbidden_ids=[11], top_p=0.9,
        )  # fmt: skip
        assert sample.tokens_BL.device.type == device
        return sample.tokens_BL.cpu()

    assert torch.equal(draw("cuda"), draw("cpu"))


@pytest.mark.gpu
@pytest.mark.parametrize("sampler", ["ancestral", "cached"])
def test_a_gpu_follows_the_multi_scale_schedule(sampler: str) -> None:
    table = torch.randn(12, 12, generator=generator_for("table"))
    process = MultiScaleDiffusion(10, 11, [3.0] * 5 + [0.5] * 5 + [1.0, 1.0], steps=8, loss="elbo")
    found = []
    for device in ("cpu", "cuda"):
        weights = table.to(device)
        call = {"length": 12, "count": 3, "sampler": sampler, "device": device}
        found.append(process.sample(lambda x, w=weights: w[x], generator=generator_for(0), **call).tokens_BL.cpu())
        loss = process.loss(lambda x, w=weights: w[x], found[0].to(device), generator_for("loss"))
        found.append(loss.loss.cpu())
    assert torch.equal(found[0], found[2])
    torch.testing.assert_close(found[1], found[3])
