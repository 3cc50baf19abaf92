"""Kernels of optional packages: called in their own layout, equal to ours, and named when they are broken."""

import sys

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from architectures import attention_kernels, build, depthwise, package_kernels, ssd
from architectures.kernel_choice import (
    BROKEN,
    Kernel,
    KernelDispatcher,
    KernelError,
    countable,
    recorded_kernels,
    variable,
)
from architectures.scan import mamba_ssm_kernel
from architectures.scan.inputs import ScanInputs
from architectures.scan.reference import scan_loop

DISPATCHERS = {"convolution": depthwise.CONVOLUTION, "attention": attention_kernels.ATTENTION, "ssd": ssd.SSD}
CPU = torch.device("cpu")


@pytest.fixture
def forced(packages, monkeypatch):
    """Stand-ins for the packages, usable on a CPU; returns what forces one of them."""

    def force(operator: str, name: str) -> None:
        dispatcher = DISPATCHERS[operator]
        monkeypatch.setitem(dispatcher.kernels, name, Kernel())
        monkeypatch.setattr(dispatcher, "unusable_reason", lambda name: "")
        monkeypatch.setattr(dispatcher, "automatic", {"cpu": ()})
        monkeypatch.setenv(variable(operator), name)

    return force


def outputs(pattern: str, dtype: torch.dtype = torch.float32, length: int = 24) -> list[torch.Tensor]:
    """Logits and every weight's gradient of a small backbone."""
    backbone = build(pattern, vocab_size=11, width=32, stride=1, seed=0)
    tokens_BL = torch.randint(0, 11, (2, length), generator=torch.Generator().manual_seed(1))
    with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
        logits = backbone(tokens_BL)
    logits.square().mean().backward()
    return [logits.detach(), *(weight.grad for weight in backbone.parameters() if weight.grad is not None)]


def assert_same(found: list[torch.Tensor], expected: list[torch.Tensor], tolerance: float) -> None:
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert (one - other).abs().max() <= tolerance * other.abs().max() + 1e-9


@pytest.mark.parametrize("pattern", ["M", "M(backward)", "M(bidirectional)", "S", "S(bidirectional)"])
def test_causal_conv1d_computes_the_mixers_convolution(forced, pattern):
    expected = outputs(pattern)
    forced("convolution", "causal_conv1d")
    with recorded_kernels() as ran:
        found = outputs(pattern)
    assert list(ran["convolution"]) == ["causal_conv1d"]
    assert_same(found, expected, 1e-5)


@pytest.mark.parametrize("pattern", ["S", "S(backward)", "S(bidirectional)"])
def test_mamba_ssm_computes_the_mixers_ssd(forced, pattern):
    expected = outputs(pattern)
    forced("ssd", "mamba_ssm")
    with recorded_kernels() as ran:
        found = outputs(pattern)
    assert list(ran["ssd"]) == ["mamba_ssm"]
    assert_same(found, expected, 1e-4)


@pytest.mark.parametrize("pattern", ["A", "A(causal)", "A(window=4)", "A(window=4,causal)", "A(window=20)"])
def test_flash_attn_computes_the_mixers_attention(forced, pattern):
    expected = outputs(pattern, torch.bfloat16)
    forced("attention", "flash_attn")
    with recorded_kernels() as ran:
        found = outputs(pattern, torch.bfloat16)
    assert list(ran["attention"]) == ["flash_attn"]
    assert_same(found, expected, 4e-2)


def test_flash_attn_refuses_dropout(forced):
    forced("attention", "flash_attn")
    heads = [torch.zeros(1, 1, 2, 4, dtype=torch.bfloat16)] * 3
    with pytest.raises(KernelError, match="flash_attn cannot run: takes no mask and no dropout"):
        attention_kernels.attend(*heads, dropout=0.1)


@pytest.mark.parametrize("reverse", [False, True])
def test_the_compiled_scan_as_an_operator_and_through_its_own_autograd(packages, reverse):
    generator = torch.Generator().manual_seed(2)
    shapes = {
        "u": (2, 3, 9),
        "delta": (2, 3, 9),
        "A": (3, 4),
        "B": (2, 4, 9),
        "C": (2, 4, 9),
        "D": (3,),
        "z": (2, 3, 9),
    }
    tensors = [torch.randn(*shape, generator=generator) for shape in (*shapes.values(), (3,))]
    tensors[2] = -tensors[2].exp()
    leaves = [tensor.requires_grad_() for tensor in tensors]
    inputs = ScanInputs(*leaves, True, reverse)
    y = mamba_ssm_kernel.differentiable(inputs)
    direction = torch.linspace(-1, 2, y.numel()).reshape(y.shape)
    exact = scan_loop(inputs.with_tensors(tuple(tensor.double() for tensor in leaves)), torch.float64)
    wanted = torch.autograd.grad(exact, leaves, direction.double())
    by_autograd = torch.autograd.grad(y, leaves, direction)
    as_operator = mamba_ssm_kernel.backward(inputs, direction)
    assert_same([y, mamba_ssm_kernel.forward(inputs)], [exact.float()] * 2, 1e-5)
    assert_same(list(by_autograd), list(wanted), 1e-5)
    assert_same(list(as_operator), list(wanted), 1e-5)


TRIALS = {
    "convolution": depthwise._trial,
    "attention": attention_kernels._flash_trial,
    "ssd": ssd._trial,
    "scan": mamba_ssm_kernel._trial,
}


@pytest.mark.parametrize("operator", TRIALS)
def test_a_package_that_computes_rightly_passes_its_trial(packages, operator):
    assert package_kernels.trial_reason(TRIALS[operator], CPU) == ""


def test_the_trial_runs_in_whatever_mode_the_first_call_comes(packages):
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16), FlopCounterMode(display=False) as counter:
        assert package_kernels.trial_reason(TRIALS["convolution"], CPU) == ""
    assert counter.get_total_flops() == 0


@pytest.mark.parametrize(("operator", "module", "function"), [
    ("convolution", "causal_conv1d", "causal_conv1d_fn"),
    ("attention", "flash_attn", "flash_attn_func"),
    ("ssd", "mamba_ssm.ops.triton.ssd_combined", "mamba_chunk_scan_combined"),
    ("scan", "mamba_ssm.ops.selective_scan_interface", "selective_scan_fn"),
])  # fmt: skip
def test_a_package_that_computes_wrongly_or_not_at_all_is_broken(packages, monkeypatch, operator, module, function):

    right = getattr(sys.modules[module], function)

    def wrong(*given, **options):
        return 0.5 * right(*given, **options)

    def fails(*_, **__):
        raise RuntimeError("CUDA error: no kernel image is available for execution on the device\nmore")

    monkeypatch.setattr(sys.modules[module], function, wrong)
    assert package_kernels.trial_reason(TRIALS[operator], CPU).startswith(f"{BROKEN}wrong results, relative error")
    monkeypatch.setattr(sys.modules[module], function, fails)
    words = "RuntimeError: CUDA error: no kernel image is available for execution on the device"
    assert package_kernels.trial_reason(TRIALS[operator], CPU) == BROKEN + words


@pytest.mark.parametrize("problem", [
    "ImportError: libcudart.so.11.0: cannot open shared object file",
    "OSError: undefined symbol: _ZN3c105Error",
])  # fmt: skip
def test_a_package_whose_library_does_not_load_is_broken_and_says_why(monkeypatch, tmp_path, problem):
    kind, _, words = problem.partition(": ")
    (tmp_path / "causal_conv1d").mkdir()
    (tmp_path / "causal_conv1d" / "__init__.py").write_text(f"raise {kind}({words!r})\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr(package_kernels, "trial_reason", lambda trial, device: on_cpu(trial, CPU))
    assert package_kernels.unusable_reason("causal_conv1d", depthwise._trial) == BROKEN + problem


on_cpu = package_kernels.trial_reason


def test_an_absent_package_is_told_apart_from_an_absent_device(monkeypatch):
    monkeypatch.setattr(package_kernels, "_installed", lambda module: False)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    reason = package_kernels.unusable_reason
    assert reason("flash_attn", TRIALS["attention"]) == "torch sees no CUDA device, and flash-attn is not installed"
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    assert reason("flash_attn", TRIALS["attention"]) == "flash-attn is not installed"


@pytest.fixture
def dispatcher(monkeypatch):
    monkeypatch.delenv("SMDIM_BENCH_DEMO_KERNEL", raising=False)

    def fails():
        raise OSError("no library")

    broken = Kernel(("cpu",), automatic_on=("cpu",), probe=fails)
    kernels = {"torch": Kernel(), "peer": broken, "next": Kernel(("cpu",), automatic_on=("cpu",))}
    return KernelDispatcher("demo", kernels, removed={"old": "the demo kernel old was removed; choose next"})


def test_a_broken_kernel_is_passed_over_when_none_was_asked_for(dispatcher):
    assert dispatcher.choose("cpu") == "next"
    assert dispatcher.choose("cpu", unfit=lambda name: "too wide" if name == "next" else "") == "torch"
    assert dispatcher.choose("meta") == "torch"


def test_a_broken_kernel_that_was_asked_for_stops_with_one_line(dispatcher, monkeypatch):
    monkeypatch.setenv("SMDIM_BENCH_DEMO_KERNEL", "peer")
    words = "SMDIM_BENCH_DEMO_KERNEL=peer: peer cannot run: installed but broken: OSError: no library"
    with pytest.raises(KernelError, match=words):
        dispatcher.choose("cpu")
    monkeypatch.setenv("SMDIM_BENCH_DEMO_KERNEL", "fast")
    with pytest.raises(KernelError, match="no such demo kernel; choose auto, torch, peer, next"):
        dispatcher.choose("cpu")
    monkeypatch.setenv("SMDIM_BENCH_DEMO_KERNEL", "old")
    with pytest.raises(KernelError, match=r"_KERNEL=old: the demo kernel old was removed; choose next$"):
        dispatcher.choose("cpu")


def test_a_kernel_whose_module_is_absent_is_missing_and_not_broken():
    def absent():
        raise ModuleNotFoundError("No module named 'fast'")

    dispatcher = KernelDispatcher("demo", {"torch": Kernel(), "fast": Kernel(probe=absent)})
    assert dispatcher.unusable_reason("fast") == "not importable: No module named 'fast'"


def test_types_that_a_kernel_does_not_compute_on_cuda_are_refused():
    assert attention_kernels.ATTENTION.refusal("flash", torch.device("cuda"), torch.float32) == (
        "computes float16 or bfloat16, not float32"
    )
    assert attention_kernels.ATTENTION.refusal("flash", CPU, torch.float32) == ""
    assert attention_kernels.ATTENTION.refusal("cudnn", CPU) == "runs on cuda only, not on cpu"


@pytest.mark.filterwarnings("ignore::UserWarning")  # torch tells why as warnings
def test_a_backend_that_refuses_a_shape_says_so(monkeypatch):
    monkeypatch.setenv(variable("attention"), "flash")
    x = torch.ones(1, 2, 2, 4, 8)  # five dimensions, which torch's fused kernels do not take
    with pytest.raises(KernelError, match="ATTENTION_KERNEL=flash: torch's flash kernel refuses shape"):
        attention_kernels.attend(x, x, x, mask=torch.ones(4, 4, dtype=torch.bool))


def test_the_forced_backend_of_torch_is_the_one_that_runs(monkeypatch):
    backbone = build("A", vocab_size=11, width=32, stride=1, seed=0)
    monkeypatch.setenv(variable("attention"), "math")
    assert backbone.kernels() == {"sdpa": "math_cpu"}
    monkeypatch.setenv(variable("attention"), "flash")
    assert backbone.kernels() == {"sdpa": "flash_cpu"}


def test_counters_see_plain_operations_whatever_was_asked_for(forced):
    forced("convolution", "causal_conv1d")
    with countable(), recorded_kernels() as ran:
        outputs("M")
    assert list(ran["convolution"]) == ["torch"]


def test_ssd_in_tensor_float_only_where_it_was_asked_for(monkeypatch):
    monkeypatch.delenv(variable("ssd"), raising=False)
    monkeypatch.setattr(ssd.SSD, "unusable_reason", lambda name: "")
    assert ssd.chosen_kernel(torch.device("cuda"), torch.float32) == "torch"
    assert ssd.chosen_kernel(torch.device("cuda"), torch.bfloat16) == "mamba_ssm"
    monkeypatch.setenv(variable("ssd"), "mamba_ssm")
    assert ssd.chosen_kernel(torch.device("cuda"), torch.float32) == "mamba_ssm"
