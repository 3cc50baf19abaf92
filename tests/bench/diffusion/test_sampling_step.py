"""The denoiser as a sampler calls it: filled batches, recordings that are held against the plain call, precision."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import torch
from sampler_laws import PLAIN
from torch import nn

from architectures import build
from bench.diffusion import AbsorbingDiffusion, generator_for
from bench.diffusion.sampling_step import CudaGraphs, SamplingStep, weights_cast_once

MASK, PAD, VOCABULARY = 10, 11, 12


class Replays:
    """Stands for CUDA graphs on a CPU: a replay runs the call on the inputs kept, into the same memory each time."""

    def __init__(self, *, wrong: float = 0.0, trouble: str = "") -> None:
        self.wrong, self.trouble, self.sizes = wrong, trouble, list[int]()

    def unusable_reason(self, device: torch.device) -> str:
        return ""

    def record(self, call: Callable[..., torch.Tensor], inputs: Sequence[torch.Tensor]) -> Callable[[], torch.Tensor]:
        if self.trouble:
            raise RuntimeError(self.trouble)
        self.sizes.append(len(inputs[0]))
        logits = call(*inputs).clone()
        return lambda: logits.copy_(call(*inputs) + self.wrong)


def network() -> nn.Module:
    return build("MFA*1", vocab_size=VOCABULARY, seed=0, width=16, head_width=8, stride=1).eval()


def tokens(rows: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(10, (rows, 8), generator=torch.Generator().manual_seed(seed))


@torch.inference_mode()
def test_batches_are_filled_and_answers_are_those_of_the_plain_call() -> None:
    plain, recorder = network(), Replays()
    step = SamplingStep(plain, recorder=recorder, most=12)
    for rows in (12, 5, 7, 3, 1, 9, 2):
        torch.testing.assert_close(step(tokens(rows, rows)), plain(tokens(rows, rows)))
    assert recorder.sizes == [12, 8, 4, 1, 2] and step.plain_reason == ""
    assert step.words == "CUDA graphs of 5 batch sizes"


@torch.inference_mode()
def test_another_length_and_a_time_are_recordings_of_their_own() -> None:
    def denoise(tokens_BL: torch.Tensor, time_B: torch.Tensor | None = None) -> torch.Tensor:
        logits_BLV = nn.functional.one_hot(tokens_BL, VOCABULARY).float()
        return logits_BLV if time_B is None else logits_BLV * time_B[:, None, None]

    recorder = Replays()
    step = SamplingStep(denoise, recorder=recorder)
    for given in ((tokens(2),), (tokens(2)[:, :4],), (tokens(2), torch.tensor([0.25, 0.5])), (tokens(2, 1),)):
        torch.testing.assert_close(step(*given), denoise(*given))
    assert recorder.sizes == [2, 2, 2]


@pytest.mark.parametrize(
    ("recorder", "words"),
    [
        (Replays(trouble="operation not permitted\nmore"), "no CUDA graph: operation not permitted"),
        (Replays(wrong=float("nan")), "differs from the plain call by nan"),
        (Replays(wrong=1.0), "differs from the plain call by 1"),
        (CudaGraphs(), ""),
    ],
)
@torch.inference_mode()
def test_what_cannot_be_recorded_or_is_wrong_is_called_plainly_and_says_so(recorder: object, words: str) -> None:
    plain = network()
    step = SamplingStep(plain, recorder=recorder)
    for rows in (3, 1):
        assert torch.equal(step(tokens(rows)), plain(tokens(rows)))
    assert words in step.words and bool(step.words) == bool(words)
    assert step.plain_reason


def test_gradients_and_dropout_are_never_recorded() -> None:
    recorder = Replays()
    step = SamplingStep(network(), recorder=recorder)
    assert step(tokens(2)).requires_grad and recorder.sizes == []
    with torch.no_grad():
        step.train()(tokens(2))
        assert recorder.sizes == []
        step.eval()(tokens(2))
    assert recorder.sizes == [2]


@torch.inference_mode()
def test_products_have_the_precision_asked_for() -> None:
    plain, seen = network(), []
    plain.layers[1].mixer.inward.register_forward_hook(lambda module, given, found: seen.append(found.dtype))
    exact, rounded = SamplingStep(plain)(tokens(4)), SamplingStep(plain, precision="bfloat16")(tokens(4))
    assert seen == [torch.float32, torch.bfloat16]
    assert exact.dtype == rounded.dtype == torch.float32
    torch.testing.assert_close(exact, rounded, atol=0.02, rtol=0.1)


def test_weights_are_cast_once_for_all_steps_of_a_sample() -> None:
    """A weight that changes behind the casts of a block is seen by calls outside it alone."""
    plain, given = network(), tokens(2)
    step = SamplingStep(plain, precision="bfloat16")
    with torch.inference_mode():
        before = step(given)
        with weights_cast_once():
            assert torch.equal(step(given), before)
            plain.layers[1].mixer.inward.weight.data.mul_(2)
            assert torch.equal(step(given), before)
        after = step(given)
    assert not torch.equal(after, before)

    def changed(tokens_BL: torch.Tensor) -> torch.Tensor:
        plain.layers[1].mixer.inward.weight.data.mul_(2)
        logits.append(step(given))
        return step(tokens_BL)

    logits: list[torch.Tensor] = []
    AbsorbingDiffusion(MASK, PAD).sample(changed, length=8, count=2, steps=3, generator=generator_for(1))
    assert len(logits) == 3 and torch.equal(logits[0], logits[2])
    assert not torch.equal(step(given), logits[0])
    assert step(given).requires_grad and not torch.is_autocast_enabled("cpu")


@pytest.mark.parametrize("sampler", PLAIN)
def test_every_sampler_draws_the_same_with_recordings(sampler: str) -> None:
    plain, process = network().train(), AbsorbingDiffusion(MASK, PAD, steps=6)
    step = SamplingStep(plain, recorder=Replays(), most=5)

    def draw(denoise: Callable[..., torch.Tensor]) -> torch.Tensor:
        return process.sample(denoise, length=8, count=5, sampler=sampler, generator=generator_for(3)).tokens_BL

    assert torch.equal(draw(step), draw(plain))
    assert plain.training and step.training


@pytest.mark.gpu
@pytest.mark.gpu_short
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("arm", ["smdim", "transformer", "mamba", "mamba2", "hyena", "gla", "conformer"])
def test_a_cuda_graph_gives_what_the_plain_call_gives(arm: str, precision: str) -> None:
    plain = build(arm, vocab_size=VOCABULARY, seed=0, width=64, stride=4).to("cuda").eval()
    graphed = SamplingStep(plain, precision=precision, recorder=CudaGraphs(), most=6)
    eager = SamplingStep(plain, precision=precision)
    with torch.inference_mode():
        for rows in (6, 5, 3, 1, 6):
            given = torch.randint(10, (rows, 64), device="cuda")
            torch.testing.assert_close(graphed(given), eager(given), atol=2e-2, rtol=1e-2)
    assert graphed.words == "CUDA graphs of 3 batch sizes", graphed.plain_reason


@pytest.mark.gpu
@pytest.mark.gpu_short
def test_a_call_that_waits_for_the_gpu_is_made_plainly() -> None:
    def denoise(tokens_BL: torch.Tensor) -> torch.Tensor:
        return torch.ones(*tokens_BL.shape, VOCABULARY, device="cuda") * float(tokens_BL.sum())

    step = SamplingStep(denoise, recorder=CudaGraphs())
    given = torch.ones(2, 8, dtype=torch.int64, device="cuda")
    with torch.inference_mode():
        assert float(step(given)[0, 0, 0]) == float(step(given)[1, 7, 3]) == 16.0
    assert step.words.startswith("no CUDA graph: ")
    assert torch.randn(3, device="cuda").isfinite().all()  # the generator is not left as if it were recorded
