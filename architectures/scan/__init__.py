"""Mamba's selective scan: one operator, several kernels, and the choice among them."""

from architectures.scan.blocks import block_scan
from architectures.scan.inputs import scan_flops, step_sizes
from architectures.scan.kernels import available_kernels, chosen_kernel
from architectures.scan.operator import selective_scan
from architectures.scan.states import carried_outputs, written_states

__all__ = [
    "available_kernels",
    "block_scan",
    "carried_outputs",
    "chosen_kernel",
    "scan_flops",
    "selective_scan",
    "step_sizes",
    "written_states",
]
