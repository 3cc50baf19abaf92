"""Ceilings and traffic: arithmetic on paper; nothing depends on how fast this machine is."""

from __future__ import annotations

import torch

from metrics.cost.roofline import _probe_matrices, measure_ceilings, probe_product_s, traffic_bytes


def test_ceilings_are_positive_and_say_how_they_were_made():
    found = measure_ceilings(product_size=64, copy_bytes=2**16, calls=2)
    assert found.flops_per_s > 0 and found.bytes_per_s > 0
    assert found.dtype == "float32" and found.threads == torch.get_num_threads()


def test_a_probe_is_positive_and_leaves_random_numbers_and_types_alone():
    state, usual = torch.get_rng_state(), torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    _probe_matrices.cache_clear()
    try:
        assert probe_product_s() > 0
        assert torch.equal(torch.get_rng_state(), state)
        assert {one.dtype for one in _probe_matrices()} == {torch.float32}
    finally:
        torch.set_default_dtype(usual)


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
