"""Ceilings and shares: arithmetic on paper; nothing depends on how fast this machine is."""

from __future__ import annotations

import math

import pytest
import torch

from metrics.cost.roofline import Ceilings, achieved, measure_ceilings, traffic_bytes

CEILINGS = Ceilings(flops_per_s=100e9, bytes_per_s=10e9, dtype="float32", threads=1)


def test_shares_on_paper():
    call = achieved(flops=20e9, moved_bytes=1e9, elapsed_s=0.4, ceilings=CEILINGS)
    assert call.compute_share == pytest.approx(0.5) and call.bandwidth_share == pytest.approx(0.25)
    assert call.intensity == 20 and call.bound == "compute" and CEILINGS.ridge == 10
    assert achieved(1e9, 2e9, 1.0, CEILINGS).bound == "memory"


def test_what_is_not_known_stays_unknown():
    call = achieved(math.nan, 1e9, 1.0, CEILINGS)
    assert math.isnan(call.compute_share) and call.bound == ""


def test_ceilings_are_positive_and_say_how_they_were_made():
    found = measure_ceilings(product_size=64, copy_bytes=2**16, calls=2)
    assert found.flops_per_s > 0 and found.bytes_per_s > 0
    assert found.dtype == "float32" and found.threads == torch.get_num_threads()


def test_a_product_reads_two_matrices_and_writes_one():
    a, b = torch.ones(4, 8), torch.ones(8, 2)
    assert traffic_bytes(lambda: a @ b) == 4 * (4 * 8 + 8 * 2 + 4 * 2)


def test_views_move_nothing_and_copies_do():
    a = torch.ones(4, 8)
    assert traffic_bytes(lambda: a.view(8, 4).transpose(0, 1)) == 0
    assert traffic_bytes(lambda: a.t().contiguous()) == 2 * 4 * 8 * 4


def test_traffic_on_meta_needs_no_memory():
    a = torch.empty(100_000, 100_000, device="meta")
    assert traffic_bytes(lambda: a + a) == 3 * 4 * 10**10
