"""Mamba's selective scan: one operator, several kernels, and the choice among them."""

from architectures.scan.inputs import scan_flops
from architectures.scan.kernels import available_kernels, chosen_kernel
from architectures.scan.operator import selective_scan

__all__ = ["available_kernels", "chosen_kernel", "scan_flops", "selective_scan"]
