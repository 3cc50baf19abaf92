"""Registry of whole denoisers: names, signatures, configurations, sizes, FLOPs and errors."""

from __future__ import annotations

from typing import Literal

import pytest
import torch
from torch import nn

from architectures import build, build_config, config_of, count_parameters, resolve
from architectures import denoiser as registry
from architectures.catalog import without_weights
from architectures.config import BackboneError
from architectures.denoiser import DenoiserConfig, DenoiserError, Inputs, register_denoiser
from architectures.matching import MatchingError, match, measured

INPUTS = Inputs(length=32, mask_id=3, pad_id=0)


class Plain(nn.Module):
    """Embedding and head."""

    def __init__(self, *, vocab_size: int, width: int = 8, kind: Literal["a", "b"] = "a", rate: float = 0.5) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, width)
        self.head = nn.Linear(width, vocab_size)

    def forward(self, tokens_BL: torch.Tensor) -> torch.Tensor:
        return self.head(self.embedding(tokens_BL))


@pytest.fixture(autouse=True)
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """A registry with `plain` alone, whose size `width` matching may solve."""
    registry.registered_denoisers()  # built-in ones register once a process: before, or they end with the test
    monkeypatch.setattr(registry, "_BY_NAME", {})
    register_denoiser("plain", size="width", multiple=2)(Plain)


def test_a_registered_denoiser_resolves_as_an_arm_does() -> None:
    config = resolve("plain", 20, inputs=INPUTS, width=6)
    assert config == DenoiserConfig("plain", 20, None, 3, (("kind", "a"), ("rate", 0.5), ("width", 6)))
    assert config.pattern == "own stem: plain(kind=a, rate=0.5, width=6)"
    assert config_of(config.to_dict()) == config
    assert hash(config) == hash(config_of(config.to_dict()))
    assert config_of(resolve("smdim", 20).to_dict()) == resolve("smdim", 20)


def test_the_factory_is_given_what_its_signature_names() -> None:
    given = {}

    @register_denoiser("named")
    def named(*, vocab_size: int, length: int, mask_id: int, pad_id: int) -> nn.Module:
        given.update(vocab_size=vocab_size, length=length, mask_id=mask_id, pad_id=pad_id)
        return Plain(vocab_size=vocab_size)

    @register_denoiser("all")
    def everything(*, vocab_size: int, length: int, mask_id: int, **sizes: int) -> nn.Module:
        given.update(sizes)
        return Plain(vocab_size=vocab_size)

    build("named", vocab_size=20, inputs=INPUTS)
    assert given == {"vocab_size": 20, "length": 32, "mask_id": 3, "pad_id": 0}
    build("all", vocab_size=20, inputs=INPUTS, depth=3, heads=2)
    assert (given["depth"], given["heads"]) == (3, 2)


def test_one_seed_gives_one_network_and_leaves_the_generator() -> None:
    config = resolve("plain", 20, inputs=INPUTS)
    before = torch.get_rng_state()
    first, second = build_config(config, seed=5), build_config(config, seed=5)
    assert torch.equal(before, torch.get_rng_state())
    assert torch.equal(first.network.head.weight, second.network.head.weight)


def test_parameters_and_flops_by_hand() -> None:
    """V (w) + w V + V parameters; a head of 2 L w V FLOPs, counted."""
    assert measured(resolve("plain", 20, inputs=INPUTS, width=6), 32) == (20 * 6 + 6 * 20 + 20, 2 * 32 * 6 * 20)
    network = build("plain", vocab_size=20, inputs=INPUTS)
    assert network.flops_source == "counted"


def test_attention_is_counted_as_products() -> None:
    """4 L^2 w for scores and weighted sums, which counters of fused kernels give as 0."""

    class Attending(Plain):
        def forward(self, tokens_BL: torch.Tensor) -> torch.Tensor:
            x = self.embedding(tokens_BL)[:, None]
            return self.head(nn.functional.scaled_dot_product_attention(x, x, x)[:, 0])

    register_denoiser("attending")(Attending)
    network = build("attending", vocab_size=20, inputs=INPUTS)
    assert network.flops(32).total == 2 * 32 * 8 * 20 + 4 * 32 * 32 * 8


def test_a_formula_of_its_own_goes_first() -> None:
    class Stated(Plain):
        def flops(self, length: int) -> float:
            return 7.0 * length

    register_denoiser("stated")(Stated)
    network = build("stated", vocab_size=20, inputs=INPUTS)
    assert (network.flops(10).total, network.flops_source) == (70.0, "own formula")


def test_a_network_that_reads_values_is_counted_and_built_too() -> None:
    class Reads(Plain):
        def __init__(self, *, vocab_size: int) -> None:
            super().__init__(vocab_size=vocab_size)
            self.scale = float(self.head.weight.detach().abs().mean())

        def forward(self, tokens_BL: torch.Tensor) -> torch.Tensor:
            return super().forward(tokens_BL) * int(tokens_BL.max() < 20)

    register_denoiser("reads")(Reads)
    assert measured(resolve("reads", 20, inputs=INPUTS), 32) == (340, 2 * 32 * 8 * 20)


def test_its_declared_size_is_matched() -> None:
    arms = {"smdim": resolve("smdim", 100, width=32, layers=3), "plain": resolve("plain", 100, inputs=INPUTS)}
    found = match(arms, reference="smdim", tolerance=0.02)["plain"]
    width = dict(found.config.sizes)["width"]
    assert width % 2 == 0 and found.parameters == 100 + 200 * width
    assert found.changed == f"width 8 -> {width}"
    assert abs(found.parameters / measured(arms["smdim"], None)[0] - 1) <= 0.01


def test_a_fine_size_closes_what_a_coarse_step_leaves() -> None:
    class Two(Plain):
        def __init__(self, *, vocab_size: int, width: int = 8, inner: int = 3) -> None:
            super().__init__(vocab_size=vocab_size, width=width)
            self.inner = nn.Linear(width, inner, bias=False)

    register_denoiser("two", size="width", multiple=16, fine="inner")(Two)
    arms = {"plain": resolve("plain", 100, inputs=INPUTS, width=24), "two": resolve("two", 100, inputs=INPUTS)}
    found = match(arms, reference="plain", tolerance=0.01)["two"]
    goal = 100 + 200 * 24  # 4,900: width 16 gives 3,300 + 16 inner
    assert dict(found.config.sizes) == {"inner": 100, "width": 16}
    assert found.parameters == goal


def test_matching_without_a_size_says_what_to_add_unless_it_fits() -> None:
    register_denoiser("fixed")(Plain)
    arms = {"smdim": resolve("smdim", 100, width=32, layers=3), "fixed": resolve("fixed", 100, inputs=INPUTS)}
    with pytest.raises(
        MatchingError, match=r'declares no size to solve; add @register_denoiser\("fixed", size="..."\)'
    ):
        match(arms, reference="smdim")
    assert match({"one": arms["fixed"], "two": arms["fixed"]}, reference="one")["two"].changed == ""


def test_the_time_is_the_share_of_masked_tokens_where_none_is_given() -> None:
    seen = []

    class Timed(Plain):
        def forward(self, tokens_BL: torch.Tensor, time_B: torch.Tensor) -> torch.Tensor:
            seen.append(time_B.tolist())
            return super().forward(tokens_BL)

    register_denoiser("timed", takes_time=True)(Timed)
    network = build("timed", vocab_size=20, inputs=INPUTS)
    network(torch.tensor([[3, 3, 4, 5], [3, 9, 4, 5]]))
    network(torch.tensor([[3, 3, 4, 5]]), torch.tensor([0.75]))
    assert seen == [[0.5, 0.25], [0.75]]


@pytest.mark.parametrize(
    ("sizes", "words"),
    [
        ({"widht": 8}, "denoiser plain: unknown setting 'widht'; allowed: width, kind, rate"),
        ({"vocab_size": 8}, "unknown setting 'vocab_size'"),
        ({"width": "8"}, "denoiser plain: width='8'; allowed: int"),
        ({"width": True}, "width=True; allowed: int"),
        ({"kind": "c"}, "kind='c'; allowed: 'a', 'b'"),
        ({"rate": "high"}, "rate='high'; allowed: float"),
        ({"length": 16}, "length=16; allowed: 32 or more"),
    ],
)
def test_wrong_sizes_are_one_line(sizes: dict, words: str) -> None:
    with pytest.raises(DenoiserError, match=words) as refused:
        registry.resolve_denoiser("plain", 20, INPUTS, sizes)
    assert "\n" not in str(refused.value)


def test_a_longer_length_may_be_asked_for() -> None:
    @register_denoiser("long")
    def long(*, vocab_size: int, length: int) -> nn.Module:
        return Plain(vocab_size=vocab_size)

    assert resolve("long", 20, inputs=INPUTS).length == 32
    assert resolve("long", 20, inputs=INPUTS, length=64).length == 64
    with pytest.raises(DenoiserError, match=r"denoiser long: length 65 is not in 1\.\.64"):
        without_weights(resolve("long", 20, inputs=INPUTS, length=64)).check_length(65)


@pytest.mark.parametrize(
    ("name", "factory", "options", "words"),
    [
        ("Plain", Plain, {}, "name 'Plain' must be small letters"),
        ("other", 3, {}, "'other' is int; allowed: a class or function"),
        ("other", lambda *, width: None, {}, "'other' takes no vocab_size"),
        ("other", lambda vocab_size, /: None, {}, "'other' takes no vocab_size"),
        ("other", Plain, {"size": "depth"}, "'other' has no size 'depth'; its sizes: width, kind, rate"),
        ("other", Plain, {"size": "width", "multiple": 0}, "multiple=0; must be at least 1"),
    ],
)
def test_what_cannot_be_registered_is_refused(name: str, factory: object, options: dict, words: str) -> None:
    with pytest.raises(DenoiserError, match=words):
        register_denoiser(name, **options)(factory)  # type: ignore[type-var]


def test_a_name_is_not_taken_twice() -> None:
    code = "from architectures import register_denoiser\nregister_denoiser('plain')(Plain)"
    with pytest.raises(DenoiserError, match=r"'plain' is taken by .*test_denoiser"):
        exec(code, {"__name__": "elsewhere", "Plain": Plain})
    register_denoiser("smdim")(Plain)
    with pytest.raises(DenoiserError, match="'smdim': the name is that of a catalog arm"):
        resolve("smdim", 20)
    with pytest.raises(BackboneError, match=r"no arm 'nobody'; known: .*, plain, smdim; a pattern"):
        resolve("nobody", 20)


@pytest.mark.parametrize(
    ("returned", "words"),
    [
        (lambda logits: logits[..., :-1], r"returns shape \(2, 5, 19\) for tokens \(2, 5\); allowed: \(2, 5, 20\)"),
        (lambda logits: (logits, None), "returns tuple, not a tensor"),
        (lambda logits: logits.argmax(-1, keepdim=True).expand(-1, -1, 20), "returns torch.int64; allowed: floating"),
        (lambda logits: [][0], r"fails on tokens \(2, 5\): IndexError: list index out of range"),
    ],
)
def test_what_is_no_logits_is_refused_by_name(returned: object, words: str) -> None:
    class Wrong(Plain):
        def forward(self, tokens_BL: torch.Tensor) -> torch.Tensor:
            return returned(super().forward(tokens_BL))  # type: ignore[operator]

    register_denoiser("wrong")(Wrong)
    with pytest.raises(DenoiserError, match=f"denoiser wrong: {words}"):
        build("wrong", vocab_size=20, inputs=INPUTS)(torch.zeros(2, 5, dtype=torch.int64))


def test_memory_that_runs_out_stays_what_it_is() -> None:
    class Large(Plain):
        def forward(self, tokens_BL: torch.Tensor) -> torch.Tensor:
            raise torch.OutOfMemoryError("CUDA out of memory")

    register_denoiser("large")(Large)
    with pytest.raises(torch.OutOfMemoryError):
        build("large", vocab_size=20, inputs=INPUTS)(torch.zeros(2, 5, dtype=torch.int64))


def test_what_builds_no_module_is_refused() -> None:
    register_denoiser("nothing")(lambda *, vocab_size: None)  # type: ignore[arg-type, return-value]
    with pytest.raises(DenoiserError, match=r"denoiser nothing: builds NoneType; allowed: a torch\.nn\.Module"):
        build("nothing", vocab_size=20)


def test_a_mapping_of_another_version_is_refused() -> None:
    settings = resolve("plain", 20, inputs=INPUTS).to_dict()
    with pytest.raises(DenoiserError, match="setting 'colour' is unknown"):
        config_of(settings | {"colour": 1})
    del settings["sizes"]
    with pytest.raises(DenoiserError, match="setting 'sizes' is missing"):
        config_of(settings)


def test_without_weights_nothing_is_allocated() -> None:
    network = without_weights(resolve("plain", 20, inputs=INPUTS, width=1_000_000))
    assert {one.device.type for one in network.parameters()} == {"meta"}
    assert count_parameters(network) == 40_000_020


def test_an_entry_point_registers_a_denoiser(monkeypatch: pytest.MonkeyPatch) -> None:
    class Point:
        name, value = "theirs", "their_package:net"

        def load(self) -> None:
            register_denoiser("theirs")(Plain)

    asked = []
    monkeypatch.setattr("architectures.loading.entry_points", lambda group: asked.append(group) or [Point()])
    registry._load_entry_points.cache_clear()
    try:
        assert resolve("theirs", 20, inputs=INPUTS).name == "theirs"
        assert asked == ["smdim_bench.denoisers"]
        monkeypatch.setattr(Point, "load", lambda self: 1 / 0)
        registry._load_entry_points.cache_clear()
        with pytest.raises(DenoiserError, match="entry point theirs = their_package:net cannot be loaded: division"):
            registry.registered_denoisers()
    finally:
        registry._load_entry_points.cache_clear()
