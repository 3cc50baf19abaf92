"""Names of costs, of training steps and of likelihoods; free of torch, since reports import it."""

from __future__ import annotations

from functools import partial
from typing import Any, Final

from metrics.quantities import ANY, POSITIVE, Better, Kind, quantity_of, register

TRAINING_PASSES: Final = 3
"""Forward passes that a training step costs: the backward pass is worth two; recomputation is not counted."""


def _register(kind: Kind, name: str, unit: str, definition: str = "", better: Better = "lower", **more: Any) -> str:
    return register(name, unit, better, kind=kind, definition=definition, **{"bounds": POSITIVE, **more})


SAME_MODEL: Final = "2%"
"""What matters of a time: two processes of one model differ by up to about 1 % for as long as they live."""
_register_cost = partial(_register, "cost")
_register_training = partial(_register, "training")
_register_quality = partial(_register, "quality")

STEP_LATENCY: Final = _register_cost(
    "step_latency",
    "ms",
    "one forward pass of the denoiser as the sampler calls it, median of warm calls, mean over processes v2",
    label="Latency, one denoising step",
    matters=SAME_MODEL,
    short="One denoising step",
)
STEP_LATENCY_GRAPH: Final = _register_cost(
    "step_latency_graph",
    "ms",
    "step_latency replayed as a CUDA graph, its copy of the tokens included v1",
    label="Latency, one denoising step as a CUDA graph",
    matters=SAME_MODEL,
    short="Step as a CUDA graph",
)
SAMPLE_LATENCY: Final = _register_cost(
    "sample_latency",
    "s",
    "a whole sample from all-MASK to tokens, every step run, median of calls v1",
    label="Latency, whole sample",
    matters=SAME_MODEL,
    short="Whole sample",
)
SAMPLE_CALLS: Final = _register_cost(
    "sample_calls", "1", "network calls of one piece, those that commit a block included, predicted v1", label="Calls"
)
SAMPLE_GFLOPS: Final = _register_cost(
    "sample_gflops",
    "GFLOPs",
    "own formulas over all network calls of one piece, multiply-add = 2 v1",
    label="Whole sample",
)
SAMPLE_STATE: Final = _register_cost(
    "sample_state",
    "MiB",
    "keys, values and recurrent states that are cached at the end of one piece, 4 bytes a float v1",
    label="Cached state",
)
TRAIN_STEP_LATENCY: Final = _register_training(
    "train_step_latency",
    "ms",
    "forward with loss, backward and AdamW update on one batch, its noise drawn before, median of warm calls, "
    "mean over processes v3",
    label="Latency, one training step",
    matters=SAME_MODEL,
    short="One training step",
)
PEAK_MEMORY_INFERENCE: Final = _register_cost(
    "peak_memory_inference",
    "GiB",
    "peak growth over the process without a model: weights, activations, workspace; on CPUs freed blocks given back v3",
    label="Peak memory, inference",
    matters=SAME_MODEL,
    short="Memory, inference",
)
PEAK_MEMORY_TRAINING: Final = _register_training(
    "peak_memory_training",
    "GiB",
    "peak growth over the process without a model, in a step with optimiser state; on CPUs freed blocks given back v3",
    label="Peak memory, training",
    matters=SAME_MODEL,
    short="Memory, training",
)
FORWARD_GFLOPS: Final = _register_cost(
    "forward_gflops",
    "GFLOPs",
    "own formula, one sequence, forward, multiply-add = 2, scan 9 L D N v1",
    label="Forward pass",
)
FORWARD_GFLOPS_FVCORE: Final = _register_cost(
    "forward_gflops_fvcore",
    "GFLOPs",
    "fvcore with rules for attention and scan, no norms, one sequence, multiply-add = 2 v1",
)
FORWARD_GFLOPS_DISPATCH: Final = _register_cost(
    "forward_gflops_dispatch",
    "GFLOPs",
    "FlopCounterMode with rules for attention and scan, one sequence, multiply-add = 2 v1",
)
STEP_LAUNCHES: Final = _register_cost(
    "step_launches", "1", "kernels of one denoising step, from the profiler's events on CUDA v1", label="Launches"
)
STEP_OPERATORS: Final = _register_cost(
    "step_operators",
    "1",
    "operators of one denoising step that compute or copy, counted by dispatch; on a GPU each is a kernel or more v1",
    label="Operators",
)
PARAMETERS: Final = _register_cost("parameters", "1", "trained values, shared ones once v1", "none")
TOKENS_PER_SECOND: Final = _register_cost("tokens_per_second", "tokens/s", "batch x length / step_latency v1", "higher")

STEP_LATENCY_COLD: Final = _register_cost(
    "step_latency_cold", "ms", "first forward pass of the process at this length v1"
)
STEP_LATENCY_COMPILED: Final = _register_cost(
    "step_latency_compiled", "ms", "step_latency under torch.compile, in one block and not in turns v1"
)
COMPILE_TIME: Final = _register_cost(
    "compile_time", "s", "first call of the step under torch.compile, less a later one v1"
)
TRAIN_STEP_LATENCY_COLD: Final = _register_training(
    "train_step_latency_cold", "ms", "first training step of the process at this length v1"
)
TRAIN_STEP_LATENCY_COMPILED: Final = _register_training(
    "train_step_latency_compiled", "ms", "train_step_latency under torch.compile, in one block and not in turns v1"
)
TRAIN_COMPILE_TIME: Final = _register_training(
    "train_compile_time", "s", "first training step under torch.compile, less a later one v1"
)
TRAIN_PHASES: Final = {
    phase: _register_training(f"train_{phase}_latency", "ms", short=phase)
    for phase in ("forward", "backward", "optimiser")
}
PROCESS_START: Final = _register_cost("process_start", "s", "imports and model build of a fresh process v1")

DRIVER_MEMORY_INFERENCE: Final = _register_cost(
    "driver_memory_inference", "GiB", "memory in use on the whole GPU as the driver reports it, after a step v1"
)
DRIVER_MEMORY_TRAINING: Final = _register_training(
    "driver_memory_training", "GiB", "memory in use on the whole GPU as the driver reports it, after a training step v1"
)
RESERVED_MEMORY_INFERENCE: Final = _register_cost("reserved_memory_inference", "GiB")
RESERVED_MEMORY_TRAINING: Final = _register_training("reserved_memory_training", "GiB")
COMPUTED_MEMORY: Final = {
    part: _register_training(f"computed_{part}_memory", "GiB")
    for part in ("weight", "gradient", "optimiser", "activation")
}
COMPUTED_MEMORY_TRAINING: Final = _register_training(
    "computed_memory_training", "GiB", "weights, gradients, AdamW state, saved activations; computed, not measured v1"
)
WORKSPACE_MEMORY_TRAINING: Final = _register_training(
    "workspace_memory_training",
    "GiB",
    "peak_memory_training less computed_memory_training; below 0 where gradients come as activations go v1",
    bounds=ANY,
)
COMPUTED_BATCH_AT_21_GB: Final = _register_training(
    "computed_batch_at_21_gb", "1", "training batch whose computed memory is the 21 GB of arXiv 2603.00576 v1", "higher"
)
LARGEST_BATCH_TRAINING: Final = _register_training(
    "largest_batch_training", "1", "largest training batch within the memory budget, by real steps v1", "higher"
)
LARGEST_BATCH_SAMPLING: Final = _register_cost(
    "largest_batch_sampling",
    "1",
    "most pieces whose largest network call fits the memory budget, by real calls v1",
    "higher",
)
SAMPLE_TIME_TOGETHER: Final = _register_cost(
    "sample_time_together", "s", "one whole sample of the largest batch that fits, over its pieces v1"
)
LARGEST_LENGTH_TRAINING: Final = _register_training(
    "largest_length_training",
    "tokens",
    "longest sequence that trains within the memory budget, by real steps v1",
    "higher",
)

STEP_COMPUTE_SHARE: Final = _register_cost(
    "step_compute_share",
    "1",
    "executed FLOPs / step_latency / rate of a large product on this device (MFU) v1",
    "higher",
)
TRAIN_STEP_COMPUTE_SHARE: Final = _register_training(
    "train_step_compute_share",
    "1",
    "3 x executed forward FLOPs / train_step_latency / rate of a large product (MFU) v1",
    "higher",
)
STEP_BANDWIDTH_SHARE: Final = _register_cost(
    "step_bandwidth_share",
    "1",
    "bytes read and written by operators / step_latency / rate of a large copy v1",
    "higher",
)
DEVICE_PRODUCT_RATE: Final = _register_cost("device_product_rate", "GFLOP/s", better="none")
DEVICE_COPY_RATE: Final = _register_cost("device_copy_rate", "GB/s", better="none")

STEP_ENERGY: Final = _register_cost(
    "step_energy", "J", "energy counter of the device over repeated steps, less its idle power before them v2"
)
SAMPLE_ENERGY: Final = _register_cost(
    "sample_energy", "J", "energy counter of the device over whole samples, less its idle power before them v2"
)
TRAIN_STEP_ENERGY: Final = _register_training(
    "train_step_energy",
    "J",
    "energy counter of the device over repeated training steps, less its idle power before them v2",
)
SAMPLING_TIME: Final = _register_cost("sampling_time", "s", better="none")  # the machine may have been busy
PIECE_CALLS: Final = _register_cost(
    "piece_calls", "1", "network calls of a piece as drawn, commits of blocks included v1", label="Calls a piece"
)
PIECE_GFLOPS: Final = _register_cost(
    "piece_gflops",
    "GFLOPs",
    "own formula of every call of a piece behind its cache, commits included, multiply-add = 2 v1",
    label="FLOPs a piece",
)
PIECE_TIME: Final = _register_cost(
    "piece_time",
    "s",
    "a piece alone (batch 1), median of warm ones; other cells may have run beside it v1",
    label="Time a piece, alone",
    matters=SAME_MODEL,
)
PIECE_TIME_TOGETHER: Final = _register_cost(
    "piece_time_together",
    "s",
    "all pieces of a cell in one batch, seconds over pieces; other cells may have run beside it v1",
    label="Time a piece, in a batch",
    matters=SAME_MODEL,
)
TRAINING_TIME: Final = _register_training("training_time", "s", better="none")
KEPT_STEP: Final = _register_training(
    "kept_step", "1", "step whose averaged weights are evaluated and sampled v1", "none", label="Step kept"
)
TRAIN_LOSS: Final = _register_training("train_loss", "nats/token", "loss of the last log line v1", "none")

COUNT_FORM: Final = "count-form ELBO"
"""What likelihoods are where their definition says nothing else: an upper bound."""
BITS: Final = _register_quality(
    "bits_per_token",
    "bits/token",
    f"{COUNT_FORM} of the test side, {{precision}} v2",
    label="Test",
    matters=0.03,  # 2 % of perplexity
    spread=0.041,  # studies of Irish tunes: 0.02 to 0.04
)
VALIDATION_BITS: Final = _register_quality(
    "validation_bits_per_token",
    "bits/token",
    f"{COUNT_FORM} of the validation side, {{precision}} v2",
    label="Validation",
)
"""What choices are made on (weights kept, tuned settings, patience): no verdict is of it."""
BITS_PER_NOTE: Final = _register_quality(
    "bits_per_note",
    "bits/note",
    "bits of the scored windows of the test side over the notes whose tokens they hold v2",
    label="Test",
)
BITS_PER_BEAT: Final = _register_quality(
    "bits_per_beat",
    "bits/beat",
    "bits of the scored windows of the test side over the quarter notes from first token to the next window's v2",
    label="Test",
)
ENDINGS_GAP: Final = _register_quality(
    "endings_gap",
    "bits/token",
    "bits/token of the windows of the test side that end in PAD less those of the full ones v1",
    "none",
    label="Endings above other windows",
    bounds=ANY,
)
"""To be read beside that of a token baseline, which is the corpus's own."""
LAST_QUARTER_FALL: Final = _register_quality(
    "last_quarter_fall",
    "bits/token",
    "learning curve at 3/4 of the steps less at the end, one grid of validation windows and masks v1",
    "none",
    bounds=ANY,
)
STATE_DEPENDENT_BITS: Final = _register_quality(
    "state_dependent_bits_per_token",
    "bits/token",
    "state-dependent ELBO of the test side, {steps}, {precision} v2",
    label="State-dependent bound",
)
SAMPLER_BITS: Final = _register_quality(
    "sampler_bits_per_token",
    "bits/token",
    "-log2 p of the test side under the sampler as it runs, one full window of each song first, {precision} v1",
    label="Test, as sampled",
    matters=0.03,  # as of BITS
)
"""Exact, or estimated above it, as the definition of a row says; the same figure for autoregression and for blocks."""

KINDS_OF_LIKELIHOOD: Final = ("exact", "importance estimate", "bound", "several kinds")
"""Sharpest first; rows of one arm that differ are of several."""


def likelihood_kind(*definitions: str) -> str:
    """What the definitions of rows of bits/token say that the figures are: exact, importance estimates, which are above
    the exact one on average, or bounds, which always are; several kinds, where they differ.

    >>> likelihood_kind("exact -log2 p by the chain rule of the test side, float32 v2")
    'exact'
    >>> likelihood_kind("count-form ELBO of the test side, float32 v2")
    'bound'
    """
    *named, bound, several = KINDS_OF_LIKELIHOOD
    found = {next((kind for kind in named if words.startswith(kind)), bound) for words in definitions or ("",)}
    return found.pop() if len(found) == 1 else several


def likelihood_definition(metric: str, estimate: str, **words: str) -> str:
    """Definition of a row of a likelihood that is no count form of the whole sequence: `estimate` says what it is."""
    registered = quantity_of(metric).definition
    if COUNT_FORM in registered:
        registered = registered.replace(COUNT_FORM, estimate)
    elif estimate != COUNT_FORM:
        registered = f"{estimate}: {registered}"
    return registered.format(**words)
