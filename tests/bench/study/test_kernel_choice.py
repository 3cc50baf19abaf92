"""A study, an arm and the command line name the kernel to use; what cannot run is refused while planning."""

from __future__ import annotations

import pytest

from bench.cli.options import kernels_of
from bench.errors import UserError
from bench.run.plan import make_plan
from bench.study.grid import load_study
from bench.study.settings import KernelSettings, kernel_environment

STUDY = """
name: toy
question: kernels
baseline:
  corpus: demo/lieder
  model: {{width: 32, depth: 1}}
  kernels: {kernels}
axes:
  arm:
    - smdim
    - {{name: other, arm: smdim, kernels: {own}}}
measure: {{efficiency: {{lengths: [64], device: cpu}}}}
"""


@pytest.fixture
def study(tmp_path):
    def load(kernels: str = "{}", own: str = "{}", *overrides: str):
        (tmp_path / "toy.yaml").write_text(STUDY.format(kernels=kernels, own=own))
        return load_study(tmp_path / "toy.yaml", overrides)

    return load


def test_settings_know_exactly_the_kernels_that_exist():
    from architectures.kernel_choice import variable
    from architectures.kernels import OPERATORS

    properties = KernelSettings.model_json_schema()["properties"]
    assert {operator: set(one["enum"]) for operator, one in properties.items()} == {
        operator: {"auto", *one.kernels} for operator, one in OPERATORS.items()
    }
    assert list(kernel_environment(dict.fromkeys(properties, "torch"))) == [variable(one) for one in properties]


def test_a_cell_keeps_what_is_asked_for_and_nothing_otherwise(study):
    first, other = make_plan(study(own="{scan: torch, attention: math}")).cells
    assert "kernels" not in first.settings
    assert other.settings["kernels"] == {"scan": "torch", "attention": "math"}
    assert other.settings["machine"]["scan_kernel"] == "torch"


def test_an_arm_wins_over_the_study_and_the_command_line_sets_the_studys(study):
    first, other = make_plan(study("{attention: math}", "{attention: flash}", "kernels.scan=reference")).cells
    assert first.settings["kernels"] == {"scan": "reference", "attention": "math"}
    assert other.settings["kernels"] == {"scan": "reference", "attention": "flash"}


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ("{attention: cudnn}", "kernel attention=cudnn: cudnn cannot run: runs on cuda only, not on cpu"),
        ("{ssd: mamba_ssm}", "kernel ssd=mamba_ssm: mamba_ssm cannot run: runs on cuda only, not on cpu"),
        ("{scan: triton}", "triton cannot run: runs on cuda only, not on cpu"),
    ],
)
def test_a_kernel_of_another_device_is_refused_when_planning(study, asked, words, monkeypatch):
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    with pytest.raises(UserError) as refused:
        make_plan(study(own=asked))
    assert "arm 'other'" in str(refused.value) and words in str(refused.value)
    assert "\n" not in str(refused.value)


def test_an_unknown_kernel_is_refused_where_it_stands(study):
    with pytest.raises(UserError, match=r"toy.yaml:7.*kernels.scan"):
        study("{scan: fast}")


def test_a_kernel_that_was_removed_is_named_with_what_to_choose(study, monkeypatch):
    words = "the scan kernel c was removed; choose numba, which is as fast and needs no compiler, or auto"
    with pytest.raises(UserError, match=f"toy.yaml:7.*kernels.scan: {words}"):
        study("{scan: c}")
    with pytest.raises(UserError, match=f"^--kernel scan=c: {words}$"):
        kernels_of(["scan=c"])
    monkeypatch.setenv("SMDIM_BENCH_SCAN_KERNEL", "c")
    with pytest.raises(UserError, match=f"SMDIM_BENCH_SCAN_KERNEL=c: {words}$"):
        make_plan(study())


def test_the_command_line_names_operators_and_kernels():
    assert kernels_of(["scan=torch", "attention=math"]) == {"scan": "torch", "attention": "math"}
    with pytest.raises(UserError, match="--kernel scan: write OPERATOR=NAME; operators: scan, attention"):
        kernels_of(["scan"])
    with pytest.raises(UserError, match="--kernel scan=fast: Input should be 'auto', 'reference'"):
        kernels_of(["scan=fast"])


def test_a_package_that_is_broken_is_named_and_the_next_kernel_taken(monkeypatch):
    import torch

    from architectures import kernels
    from architectures.kernel_choice import BROKEN

    monkeypatch.setattr(kernels.depthwise.CONVOLUTION, "unusable_reason", lambda name: BROKEN + "OSError: no library")
    monkeypatch.setattr(kernels.ssd.SSD, "unusable_reason", lambda name: "mamba-ssm is not installed")
    monkeypatch.setattr(kernels.SCAN, "unusable_reason", lambda name: "" if name == "triton" else "absent")
    cuda = torch.device("cuda")
    (line,) = kernels.broken_kernels(cuda)
    assert line.startswith("convolution kernel causal_conv1d is installed but broken: OSError: no library; the next")
    found = kernels.chosen_kernels(cuda, dtype=torch.bfloat16)
    assert found == {"scan": "triton", "convolution": "torch", "ssd": "torch"}


@pytest.mark.parametrize("kernel", ["math", "flash"])
def test_a_row_names_the_attention_that_ran(monkeypatch, kernel):
    import torch

    from architectures import build
    from architectures.kernel_choice import variable
    from bench.measure.efficiency.arm import kernels_of_call

    monkeypatch.setenv(variable("attention"), kernel)
    monkeypatch.setenv(variable("scan"), "torch")
    backbone = build("MA", vocab_size=11, width=32, stride=1, seed=0).eval()
    tokens_BL = torch.zeros(1, 8, dtype=torch.long)

    def call():
        with torch.inference_mode():
            backbone(tokens_BL)

    attention = {"math": "math", "flash": "flash_cpu"}[kernel]
    assert kernels_of_call(call) == {"convolution": "numba", "scan": "torch", "sdpa": attention}


def test_a_study_for_another_machine_is_planned_whatever_kernels_this_one_has(study):
    from bench.study.grid import Study

    loaded = study(own="{attention: cudnn}")
    first, other = make_plan(Study(loaded.content, loaded.place, other_machine=True)).cells
    assert other.settings["kernels"] == {"attention": "cudnn"} and first.id != other.id
