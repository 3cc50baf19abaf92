"""Mixers from outside: registration, plug-in modules, entry points, and what the contract finds in a bad one."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint

import pytest
import torch
from torch import nn

from architectures import FlopCount, Mixer, MixerError, build, canonical_pattern, register_mixer, registry
from architectures.backbone import BackboneError
from architectures.contract import check_mixer
from architectures.plugins import PluginError, load_plugin, load_plugins

GOOD_MODULE = '''
import torch
from torch import nn
from architectures import FlopCount, Mixer, register_mixer


@register_mixer("X", name="mean")
class Mean(Mixer):
    """Adds the mean over all positions."""

    direction = "bidirectional"

    def __init__(self, width: int, *, scale: float = 1.0) -> None:
        super().__init__(width)
        self.scale = scale
        self.linear = nn.Linear(width, width)

    def forward(self, x_BLD: torch.Tensor) -> torch.Tensor:
        return x_BLD + self.scale * self.linear(x_BLD).mean(dim=1, keepdim=True)

    def flops(self, length: int) -> FlopCount:
        return FlopCount(matmul=2.0 * length * self.width**2)
'''


@pytest.fixture(autouse=True)
def _own_registry(monkeypatch, tmp_path):
    """Registrations and imports of a test end with it."""
    registry.registered_mixers()  # the built-in ones stay
    monkeypatch.setattr(registry, "_BY_LETTER", dict(registry._BY_LETTER))
    monkeypatch.setattr(registry, "_BY_NAME", dict(registry._BY_NAME))
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(tmp_path)
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if name.startswith("plugin_"):
            del sys.modules[name]


def test_a_module_of_ones_own_joins_a_pattern(tmp_path):
    (tmp_path / "plugin_good.py").write_text(GOOD_MODULE)
    (cls,) = load_plugin("plugin_good")
    assert (cls.letter, cls.name) == ("X", "mean")
    assert str(canonical_pattern("X(scale=2)FA*2")) == "X(scale=2)FA*2"
    assert str(canonical_pattern("[mean]F")) == "XF"
    assert build("X(scale=0.5)F", vocab_size=7, width=32)(torch.zeros(1, 16, dtype=torch.int64)).shape == (1, 16, 7)
    assert [check for check in check_mixer(cls) if not check.passed] == []


def test_loading_twice_is_loading_once(tmp_path):
    (tmp_path / "plugin_twice.py").write_text(GOOD_MODULE)
    assert load_plugins(["plugin_twice", "plugin_twice"])[0] is registry.find_mixer("X")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "plug-in 'plugin_bad' cannot be imported: ModuleNotFoundError"),
        ("x = 1", "registers no mixer and no denoiser; decorate a class"),
        ("raise RuntimeError('no')", "cannot be imported: RuntimeError: no"),
        (GOOD_MODULE.replace('"X"', '"A"'), "'A' is taken by architectures.attention.Attention"),
        (GOOD_MODULE.replace('"X"', '"x"'), "letter 'x' is not one capital letter"),
        (GOOD_MODULE.replace('"mean"', '"My Mean"'), "name 'My Mean' must be small letters"),
        (GOOD_MODULE.replace("(Mixer)", "(nn.Module)"), "is not a subclass"),
    ],
)
def test_a_bad_module_is_one_clear_line(tmp_path, content, says):
    if content is not None:
        (tmp_path / "plugin_bad.py").write_text(content)
    with pytest.raises(PluginError, match=says) as caught:
        load_plugin("plugin_bad")
    assert "\n" not in str(caught.value)


def test_an_installed_package_offers_mixers_by_entry_point(tmp_path, monkeypatch):
    (tmp_path / "plugin_entry.py").write_text(GOOD_MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    point = EntryPoint("mean", "plugin_entry", "smdim_bench.mixers")
    monkeypatch.setattr("architectures.loading.entry_points", lambda group: [point] if group == point.group else [])
    registry._load_entry_points.cache_clear()
    assert str(canonical_pattern("XF*2")) == "XF*2"
    assert "X" in registry.registered_mixers()
    registry._load_entry_points.cache_clear()


def test_a_broken_entry_point_is_named(monkeypatch):
    point = EntryPoint("mean", "plugin_absent", "smdim_bench.mixers")
    monkeypatch.setattr("architectures.loading.entry_points", lambda group: [point])
    registry._load_entry_points.cache_clear()
    with pytest.raises(MixerError, match="entry point mean = plugin_absent cannot be loaded"):
        registry.find_mixer("X")
    registry._load_entry_points.cache_clear()


def test_a_mixer_without_a_letter_goes_by_its_name():
    @register_mixer(name="plain")
    class Plain(Mixer):
        causal = True

        def forward(self, x_BLD):
            return x_BLD

        def flops(self, length):
            return FlopCount(elementwise=1.0)

    assert str(canonical_pattern("[plain]2F")) == "[plain]2F"
    assert "[plain]" in registry.registered_mixers()


def test_a_mixer_that_changes_the_shape_is_named_when_it_runs():
    @register_mixer(name="short")
    class Short(Mixer):
        def forward(self, x_BLD):
            return x_BLD[:, :1]

        def flops(self, length):
            return FlopCount(elementwise=1.0)

    with pytest.raises(BackboneError, match=r"mixer \[short\] returned shape \(1, 1, 32\) for \(1, 4, 32\)"):
        build("[short]", vocab_size=7, width=32)(torch.zeros(1, 16, dtype=torch.int64))


class Sound(Mixer):
    """Keeps the contract; each faulty one below breaks a single point of it."""

    causal = True

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.linear = nn.Linear(width, width)

    def forward(self, x_BLD):
        return self.linear(x_BLD)

    def flops(self, length):
        return FlopCount(matmul=2.0 * length * self.width**2)


class HalfLength(Sound):
    def forward(self, x_BLD):
        return self.linear(x_BLD)[:, ::2]


class Doubles(Sound):
    def forward(self, x_BLD):
        return self.linear(x_BLD).double()


class Random(Sound):
    def forward(self, x_BLD):
        return self.linear(x_BLD) + torch.rand(())


class Detached(Sound):
    def forward(self, x_BLD):
        return self.linear(x_BLD.detach())


class Unused(Sound):
    def __init__(self, width):
        super().__init__(width)
        self.forgotten = nn.Parameter(torch.zeros(3))


class BatchNormed(Sound):
    def __init__(self, width):
        super().__init__(width)
        self.norm = nn.BatchNorm1d(width)

    def forward(self, x_BLD):
        return self.norm(self.linear(x_BLD).transpose(1, 2)).transpose(1, 2)


class Uncounted(Sound):
    def flops(self, length):
        return 3.0


class Undercounted(Sound):
    def flops(self, length):
        return FlopCount(matmul=1.0)


class LooksAhead(Sound):
    def forward(self, x_BLD):
        return self.linear(x_BLD + x_BLD.roll(-1, dims=1))


class SaysItLooksAhead(Sound):
    causal = False


@pytest.mark.parametrize(
    ("cls", "point"),
    [
        (HalfLength, "keeps the shape"),
        (Doubles, "keeps the type"),
        (Random, "is deterministic"),
        (Detached, "passes gradients"),
        (Unused, "passes gradients"),
        (BatchNormed, "keeps sequences of a batch apart"),
        (Uncounted, "counts its FLOPs"),
        (Undercounted, "counts its FLOPs"),
        (LooksAhead, "sees what it declares"),
        (SaysItLooksAhead, "sees what it declares"),
    ],
)
def test_the_contract_finds_the_fault(cls, point):
    register_mixer(name="faulty")(cls)
    assert point in [check.name for check in check_mixer(cls) if not check.passed]


def test_the_contract_passes_a_sound_mixer():
    register_mixer(name="sound")(Sound)
    assert all(check.passed for check in check_mixer(Sound))


def test_a_mixer_that_cannot_be_made_is_a_finding():
    @register_mixer(name="unmade")
    class Unmade(Sound):
        def __init__(self, width):
            raise RuntimeError("no weights today")

    (check,) = check_mixer(Unmade)
    assert (check.name, check.passed) == ("constructed", False) and "no weights today" in check.detail
