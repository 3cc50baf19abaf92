"""Mamba's selective scan: one operator, several kernels, one door that chooses and says which ran."""

from architectures.scan.door import KERNEL_VARIABLE, ScanKernelError, available_kernels, chosen_kernel
from architectures.scan.inputs import scan_flops
from architectures.scan.operator import SCAN_BACKWARD_OP, SCAN_OP, selective_scan, warm

__all__ = [
    "KERNEL_VARIABLE",
    "SCAN_BACKWARD_OP",
    "SCAN_OP",
    "ScanKernelError",
    "available_kernels",
    "chosen_kernel",
    "scan_flops",
    "selective_scan",
    "warm",
]
