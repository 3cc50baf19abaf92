"""`check` on whole denoisers: an honest one passes, and each planted fault is found by the check named for it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from architectures import denoiser as registry
from architectures.denoiser import Registration, register_denoiser
from architectures.denoiser_contract import check_denoiser

Tensor = torch.Tensor


class Honest(nn.Module):
    """Embedding, one convolution over neighbours, head."""

    def __init__(self, *, vocab_size: int, width: int = 16) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, width)
        self.position = nn.Parameter(torch.randn(128, width))
        self.mix = nn.Conv1d(width, width, 3, padding=1)
        self.head = nn.Linear(width, vocab_size)

    def features(self, tokens_BL: Tensor) -> Tensor:
        x = self.embedding(tokens_BL) + self.position[: tokens_BL.shape[1]]
        return x + self.mix(x.transpose(1, 2)).transpose(1, 2).tanh()

    def forward(self, tokens_BL: Tensor) -> Tensor:
        return self.head(self.features(tokens_BL))


class LeakAcrossTheBatch(Honest):
    def forward(self, tokens_BL: Tensor) -> Tensor:
        x = self.features(tokens_BL)
        return self.head(x + 0.1 * x.mean(dim=0))


class DroppedGradient(Honest):
    def forward(self, tokens_BL: Tensor) -> Tensor:
        x = self.embedding(tokens_BL) + self.position[: tokens_BL.shape[1]]
        return self.head(x + self.mix(x.transpose(1, 2)).transpose(1, 2).detach())


class LogitsOfAnotherSize(Honest):
    def __init__(self, *, vocab_size: int, width: int = 16) -> None:
        super().__init__(vocab_size=vocab_size, width=width)
        self.head = nn.Linear(width, vocab_size - 1)  # the mask is left out


class LengthRefused(Honest):
    def forward(self, tokens_BL: Tensor) -> Tensor:
        assert tokens_BL.shape[1] % 64 == 0, "multiples of 64 alone"
        return super().forward(tokens_BL)


class StateBetweenCalls(Honest):
    def forward(self, tokens_BL: Tensor) -> Tensor:
        x = self.features(tokens_BL)
        remembered = getattr(self, "remembered", 0.0)
        self.remembered = float(x.detach().mean())
        return self.head(x + (remembered if x.shape[0] == 3 and remembered != self.remembered else 0.0))


class StateInABuffer(Honest):
    def __init__(self, *, vocab_size: int) -> None:
        super().__init__(vocab_size=vocab_size)
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, tokens_BL: Tensor) -> Tensor:
        self.calls += 1
        return super().forward(tokens_BL)


class NoiseInEvaluation(Honest):
    def forward(self, tokens_BL: Tensor) -> Tensor:
        return self.head(nn.functional.dropout(self.features(tokens_BL), 0.1))  # also where it is not training


class NotFinite(Honest):
    def forward(self, tokens_BL: Tensor) -> Tensor:
        return self.head((self.features(tokens_BL) - 1.0).log())


class WrongType(Honest):
    def forward(self, tokens_BL: Tensor) -> Tensor:
        return super().forward(tokens_BL).to(torch.bfloat16)


class MaskNotSeen(Honest):
    def forward(self, tokens_BL: Tensor) -> Tensor:
        return super().forward(tokens_BL.clamp(min=4))  # MASK is token 3


class FailsOnPad(Honest):
    def forward(self, tokens_BL: Tensor) -> Tensor:
        if not tokens_BL.is_meta and bool((tokens_BL == 0).any()):
            raise IndexError("PAD has no embedding")
        return super().forward(tokens_BL)


class TensorNotMoved(Honest):
    def __init__(self, *, vocab_size: int, width: int = 16) -> None:
        super().__init__(vocab_size=vocab_size, width=width)
        self.scale = torch.full((width,), 2.0)

    def features(self, tokens_BL: Tensor) -> Tensor:
        return super().features(tokens_BL) * self.scale


class TensorMadeOnTheCpu(Honest):
    def features(self, tokens_BL: Tensor) -> Tensor:
        return super().features(tokens_BL) + torch.arange(tokens_BL.shape[1], dtype=torch.float32)[None, :, None]


class WeightNotRegistered(Honest):
    def __init__(self, *, vocab_size: int) -> None:
        super().__init__(vocab_size=vocab_size)
        self.heads = [nn.Linear(16, vocab_size)]

    def forward(self, tokens_BL: Tensor) -> Tensor:
        return super().forward(tokens_BL) + self.heads[0](self.features(tokens_BL))


class TooFewFlops(Honest):
    def flops(self, length: int) -> float:
        return 16.0 * length


FAULTS = {
    LeakAcrossTheBatch: "keeps sequences of a batch apart",
    DroppedGradient: "passes gradients to every parameter",
    LogitsOfAnotherSize: "returns logits",
    LengthRefused: "takes the lengths",
    StateBetweenCalls: "keeps no state between calls",
    StateInABuffer: "keeps no state between calls",
    NoiseInEvaluation: "is deterministic in evaluation",
    NotFinite: "gives finite values",
    WrongType: "keeps the type",
    MaskNotSeen: "sees the mask",
    FailsOnPad: "takes special tokens",
    TensorNotMoved: "follows its device",
    TensorMadeOnTheCpu: "follows its device",
    WeightNotRegistered: "holds all its weights",
    TooFewFlops: "counts its FLOPs",
}


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch):
    registry.registered_denoisers()  # built-in ones register once a process: before, or they end with the test
    monkeypatch.setattr(registry, "_BY_NAME", {})

    def register(factory: type[nn.Module], **more: object) -> Registration:
        register_denoiser("net", **more)(factory)  # type: ignore[arg-type]
        return registry.find_denoiser("net")

    return register


def failed(found: Registration) -> dict[str, str]:
    return {point.name: point.detail for point in check_denoiser(found) if not point.passed}


@pytest.fixture(scope="module")
def fails():
    """Failed checks of a faulty denoiser and their details; each is checked once."""
    known: dict[type[nn.Module], dict[str, str]] = {}

    def of(faulty: type[nn.Module], register: Callable[[type[nn.Module]], Registration]) -> dict[str, str]:
        if faulty not in known:
            known[faulty] = failed(register(faulty))
        return known[faulty]

    return of


def test_an_honest_denoiser_passes_every_check(registered) -> None:
    points = check_denoiser(registered(Honest))
    assert [point.name for point in points if not point.passed] == []
    assert len(points) == 15


@pytest.mark.parametrize(("faulty", "name"), FAULTS.items(), ids=lambda one: getattr(one, "__name__", ""))
def test_a_planted_fault_is_found_by_its_check(registered, fails, faulty: type[nn.Module], name: str) -> None:
    assert name in fails(faulty, registered)


@pytest.mark.parametrize(
    "faulty", [LeakAcrossTheBatch, DroppedGradient, LengthRefused, StateInABuffer, WrongType, MaskNotSeen, TooFewFlops]
)
def test_no_other_check_fails_for_it(registered, fails, faulty: type[nn.Module]) -> None:
    assert list(fails(faulty, registered)) == [FAULTS[faulty]]


def test_a_refused_length_is_named_with_the_reason(registered, fails) -> None:
    words = fails(LengthRefused, registered)["takes the lengths"]
    assert words == (
        "refuses 16, 32 of 16, 32, 64, 128; at 16: DenoiserError: denoiser net: fails on tokens (1, 16): "
        "AssertionError: multiples of 64 alone"
    )


def test_lengths_that_may_be_refused_are_named_and_no_failure(registered) -> None:
    class InFours(Honest):
        def check_length(self, length: int) -> None:
            if length % 4:
                raise ValueError("not a multiple of 4")

    points = {point.name: point for point in check_denoiser(registered(InFours))}
    assert points["takes the lengths"].passed
    assert points["takes the lengths"].detail == "yes; refuses 1, 7"


def test_a_denoiser_that_cannot_be_built_is_one_failed_check(registered) -> None:
    class Broken(Honest):
        def __init__(self, *, vocab_size: int) -> None:
            raise RuntimeError("no weights here\nat all")

    (point,) = check_denoiser(registered(Broken))
    assert (point.name, point.passed) == ("constructed", False)
    assert point.detail == "DenoiserError: denoiser net: cannot be built: RuntimeError: no weights here"


def test_a_denoiser_with_time_is_given_it(registered) -> None:
    class Timed(Honest):
        def forward(self, tokens_BL: Tensor, time_B: Tensor) -> Tensor:
            return self.head(self.features(tokens_BL) * (1 + time_B[:, None, None]))

    assert failed(registered(Timed, takes_time=True)) == {}
