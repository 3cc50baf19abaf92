"""Names of costs, of training steps and of likelihoods; free of torch, since reports import it."""

from __future__ import annotations

from functools import partial
from typing import Final

from metrics.quantities import ANY, POSITIVE, Better, Bounds, Kind, register

PHASES: Final = ("forward", "backward", "optimiser")
LABELS: Final = {
    **{f"train_{phase}_latency": ("", phase) for phase in PHASES},
    "step_latency": ("Latency, one denoising step", "One denoising step"),
    "sample_latency": ("Latency, whole sample", "Whole sample"),
    "train_step_latency": ("Latency, one training step", "One training step"),
    "peak_memory_inference": ("Peak memory, inference", "Memory, inference"),
    "peak_memory_training": ("Peak memory, training", "Memory, training"),
    "forward_gflops": ("Forward pass", ""),
    "validation_bits_per_token": ("Validation", ""),
    "state_dependent_bits_per_token": ("State-dependent bound", ""),
}
"""Label and short label of the names that have one of their own."""


def _add(
    kind: Kind, name: str, unit: str, definition: str = "", better: Better = "lower", *, bounds: Bounds = POSITIVE
) -> str:
    label, short = LABELS.get(name, ("", ""))
    more = {"kind": kind, "definition": definition, "bounds": bounds, "label": label, "short": short}
    return register(name, unit, better, **more)


_cost, _training, _quality = partial(_add, "cost"), partial(_add, "training"), partial(_add, "quality")

STEP_LATENCY: Final = _cost(
    "step_latency", "ms", "one forward pass of the denoiser as the sampler calls it, median of warm calls v1"
)
SAMPLE_LATENCY: Final = _cost(
    "sample_latency", "s", "a whole sample from all-MASK to tokens, every step run, median of calls v1"
)
TRAIN_STEP_LATENCY: Final = _training(
    "train_step_latency", "ms", "forward with loss, backward and AdamW update on one batch, median of warm calls v1"
)
PEAK_MEMORY_INFERENCE: Final = _cost(
    "peak_memory_inference", "GiB", "peak growth over the process without a model: weights, activations, workspace v2"
)
PEAK_MEMORY_TRAINING: Final = _training(
    "peak_memory_training", "GiB", "peak growth over the process without a model, in a step with optimiser state v2"
)
FORWARD_GFLOPS: Final = _cost(
    "forward_gflops", "GFLOPs", "own formula, one sequence, forward, multiply-add = 2, scan 9 L D N v1"
)
_COUNTED = "rules for attention and scan, {}one sequence, multiply-add = 2 v1"
FORWARD_GFLOPS_FVCORE: Final = _cost("forward_gflops_fvcore", "GFLOPs", f"fvcore with {_COUNTED.format('no norms, ')}")
FORWARD_GFLOPS_DISPATCH: Final = _cost(
    "forward_gflops_dispatch", "GFLOPs", f"FlopCounterMode with {_COUNTED.format('')}"
)
PARAMETERS: Final = _cost("parameters", "1", "trained values, shared ones once v1", "none")
TOKENS_PER_SECOND: Final = _cost("tokens_per_second", "tokens/s", "batch x length / step_latency v1", "higher")

_COMPILED = "under torch.compile, in one block and not in turns v1"
STEP_LATENCY_COLD: Final = _cost("step_latency_cold", "ms", "first forward pass of the process at this length v1")
STEP_LATENCY_COMPILED: Final = _cost("step_latency_compiled", "ms", f"step_latency {_COMPILED}")
COMPILE_TIME: Final = _cost("compile_time", "s", "first call of the step under torch.compile, less a later one v1")
TRAIN_STEP_LATENCY_COLD: Final = _training(
    "train_step_latency_cold", "ms", "first training step of the process at this length v1"
)
TRAIN_STEP_LATENCY_COMPILED: Final = _training("train_step_latency_compiled", "ms", f"train_step_latency {_COMPILED}")
TRAIN_COMPILE_TIME: Final = _training(
    "train_compile_time", "s", "first training step under torch.compile, less a later one v1"
)
TRAIN_PHASES: Final = {phase: _training(f"train_{phase}_latency", "ms") for phase in PHASES}
PROCESS_START: Final = _cost("process_start", "s", "imports and model build of a fresh process v1")

_DRIVER = "memory in use on the whole GPU as the driver tells, after a"
DRIVER_MEMORY_INFERENCE: Final = _cost("driver_memory_inference", "GiB", f"{_DRIVER} step v1")
DRIVER_MEMORY_TRAINING: Final = _training("driver_memory_training", "GiB", f"{_DRIVER} training step v1")
RESERVED_MEMORY_INFERENCE: Final = _cost("reserved_memory_inference", "GiB")
RESERVED_MEMORY_TRAINING: Final = _training("reserved_memory_training", "GiB")
PARTS: Final = ("weight", "gradient", "optimiser", "activation")
COMPUTED_MEMORY: Final = {part: _training(f"computed_{part}_memory", "GiB") for part in PARTS}
COMPUTED_MEMORY_TRAINING: Final = _training(
    "computed_memory_training", "GiB", "weights, gradients, AdamW state, saved activations; computed, not measured v1"
)
_WORKSPACE = "peak_memory_training less computed_memory_training; below 0 where gradients come as activations go v1"
WORKSPACE_MEMORY_TRAINING: Final = _training("workspace_memory_training", "GiB", _WORKSPACE, bounds=ANY)
COMPUTED_BATCH_AT_21_GB: Final = _training(
    "computed_batch_at_21_gb", "1", "training batch whose computed memory is the 21 GB of arXiv 2603.00576 v1", "higher"
)
_LARGEST = "within the memory budget, by real steps v1"
LARGEST_BATCH_TRAINING: Final = _training("largest_batch_training", "1", f"largest training batch {_LARGEST}", "higher")
LARGEST_LENGTH_TRAINING: Final = _training(
    "largest_length_training", "tokens", f"longest sequence that trains {_LARGEST}", "higher"
)

STEP_COMPUTE_SHARE: Final = _cost(
    "step_compute_share",
    "1",
    "executed FLOPs / step_latency / rate of a large product on this device (MFU) v1",
    "higher",
)
_TRAIN_SHARE = "3 x executed forward FLOPs / train_step_latency / rate of a large product (MFU) v1"
TRAIN_STEP_COMPUTE_SHARE: Final = _training("train_step_compute_share", "1", _TRAIN_SHARE, "higher")
STEP_BANDWIDTH_SHARE: Final = _cost(
    "step_bandwidth_share",
    "1",
    "bytes read and written by operators / step_latency / rate of a large copy v1",
    "higher",
)
DEVICE_PRODUCT_RATE: Final = _cost("device_product_rate", "GFLOP/s", better="none")
DEVICE_COPY_RATE: Final = _cost("device_copy_rate", "GB/s", better="none")

_ENERGY = "energy counter of the device over {}, idle power included v1"
STEP_ENERGY: Final = _cost("step_energy", "J", _ENERGY.format("repeated steps"))
SAMPLE_ENERGY: Final = _cost("sample_energy", "J", _ENERGY.format("whole samples"))
TRAIN_STEP_ENERGY: Final = _training("train_step_energy", "J", _ENERGY.format("repeated training steps"))
SAMPLING_TIME: Final = _cost("sampling_time", "s", better="none")  # the machine may have been busy
TRAINING_TIME: Final = _training("training_time", "s", better="none")
TRAIN_LOSS: Final = _training("train_loss", "nats/token", "loss of the last log line v1", "none")

BITS: Final = _quality("validation_bits_per_token", "bits/token", "count-form ELBO v1")
STATE_DEPENDENT_BITS: Final = _quality(
    "state_dependent_bits_per_token", "bits/token", "state-dependent ELBO, {steps} v1"
)
