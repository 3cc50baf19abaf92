"""Compiled loops whose items are shared by the threads of torch's own OpenMP pool.

These threads spin while they wait for torch's next loop, for longer than a short scan takes: a second pool would find
the cores taken, and wait for the interpreter lock besides. So compiled code calls `GOMP_parallel`, as torch's loops do,
and no thread of the team needs the lock.
"""

from __future__ import annotations

import ctypes
import platform
from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from llvmlite import ir
from numba import extending, njit, types
from numba.core import cgutils

ADDRESS, THREADS, PORTION, ITEMS, NEXT, SLOT = range(6)
"""What the vector (int64) of a shared call holds: the address of `GOMP_parallel`, 0 to run on the calling thread alone;
the threads of the team; how many items are handed out at once, and how many there are; the next item, and the next row
of scratch memory, both 0 at the start."""
SHARED_TYPES = types.int64[::1], types.float32[:, ::1]
"""Types of this vector and of the scratch memory, with which the arguments of a shared function begin."""
FLUSH = 0x8040
"""Bits of MXCSR, the state of an x86 CPU's vector units: subnormal results, and subnormal inputs, count as zero."""
X86 = platform.machine().lower() in ("x86_64", "amd64")
_BYTES, _INT = ir.IntType(8).as_pointer(), ir.IntType(32)
intrinsic: Any = extending.intrinsic  # untyped: its annotation has the typing context, which callers do not pass


@cache
def team_address() -> int:
    """Address of the function that runs a loop on torch's own threads; 0 where torch has no GNU OpenMP, and on CPUs on
    which compiled code cannot flush subnormal numbers."""
    if not X86:
        return 0
    try:
        function = ctypes.CDLL(torch._C.__file__).GOMP_parallel  # of the library that torch is linked with
    except (AttributeError, OSError):
        return 0
    return ctypes.cast(function, ctypes.c_void_p).value or 0


@intrinsic
def _claim(typing_context: Any, numbers: Any, place: Any, amount: Any) -> Any:
    """The number at a place, to which the amount is added in the same moment."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array, place, amount = arguments
        data = context.make_array(signature.args[0])(context, builder, array).data
        return builder.atomic_rmw("add", builder.gep(data, [place]), amount, "monotonic")

    return types.int64(numbers, types.int64, types.int64), generate


def _mxcsr(builder: Any, instruction: str, kept: Any) -> None:
    """Store MXCSR at an address, or load it from there."""
    kind = ir.FunctionType(ir.VoidType(), [_BYTES])
    builder.call(
        builder.module.declare_intrinsic(f"llvm.x86.sse.{instruction}", (), kind), [builder.bitcast(kept, _BYTES)]
    )


@intrinsic
def _rounding(typing_context: Any) -> Any:
    """MXCSR of this thread; 0 on other CPUs."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kept = cgutils.alloca_once_value(builder, ir.Constant(_INT, 0))
        if X86:
            _mxcsr(builder, "stmxcsr", kept)
        return builder.load(kept)

    return types.int32(), generate


@intrinsic
def _set_rounding(typing_context: Any, state: Any) -> Any:
    """Set MXCSR of this thread; nothing on other CPUs."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        if X86:
            _mxcsr(builder, "ldmxcsr", cgutils.alloca_once_value(builder, arguments[0]))
        return context.get_dummy_value()

    return types.none(types.int32), generate


def _without_counts(context: Any, builder: Any, kind: Any, value: Any) -> Any:
    if isinstance(kind, types.Array):
        array = context.make_array(kind)(context, builder, value)
        array.meminfo = cgutils.get_null_value(array.meminfo.type)
        return array._getvalue()
    if isinstance(kind, types.BaseTuple):
        kinds: Any = kind
        for place, one in enumerate(kinds):
            part = _without_counts(context, builder, one, builder.extract_value(value, place))
            value = builder.insert_value(value, part, place)
    return value


@intrinsic
def _uncounted(typing_context: Any, given: Any) -> Any:
    """The tuple, of which no array counts its references: threads of a team would wait for each other to do so."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return _without_counts(context, builder, signature.args[0], arguments[0])

    return given(given), generate


def _team_runs(work: Callable[[Any], None]) -> Any:
    """An intrinsic (address, threads, given) that compiles `work` and runs `work(given)` once on each thread of a team,
    or on the calling thread where the address is 0."""

    @intrinsic
    def team(typing_context: Any, address: Any, threads: Any, given: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            address, threads, given = arguments
            kept = cgutils.alloca_once_value(builder, given)
            kind = ir.FunctionType(ir.VoidType(), [_BYTES])
            body = ir.Function(builder.module, kind, name=builder.module.get_unique_name("team_body"))
            body.linkage = "internal"
            inside = ir.IRBuilder(body.append_basic_block("entry"))
            called = types.none(signature.args[2])
            code = context.compile_subroutine(inside, work, called)
            values = [inside.load(inside.bitcast(body.args[0], kept.type))]
            context.call_internal_no_propagate(inside, code.fndesc, called, values)
            inside.ret_void()
            parallel = ir.FunctionType(ir.VoidType(), [kind.as_pointer(), _BYTES, _INT, _INT])
            data = builder.bitcast(kept, _BYTES)
            alone = builder.icmp_unsigned("==", address, ir.Constant(address.type, 0))
            with builder.if_else(alone) as (on_caller, on_threads):
                with on_caller:
                    builder.call(body, [data])
                with on_threads:
                    function = builder.inttoptr(address, parallel.as_pointer())
                    builder.call(function, [body, data, builder.trunc(threads, _INT), ir.Constant(_INT, 0)])
            return context.get_dummy_value()

        return types.none(types.int64, types.int64, given), generate

    return team


def on_team(items: Any) -> Any:
    """A compiled function (share, scratch, given) that runs the compiled `items(scratch, first, last, given)` over all
    items, in portions that the threads of the team claim.

    share: the vector that `ADDRESS` and its neighbours index. scratch: (threads, floats), a row for each thread.
    Threads of a team flush subnormal numbers to zero meanwhile: a state that decays through them would slow each step
    a hundredfold.
    """

    def work(call: Any) -> None:
        share, scratch, given = call
        own, before = scratch[_claim(share, SLOT, 1)], _rounding()
        if share[ADDRESS]:
            _set_rounding(before | FLUSH)
        first = _claim(share, NEXT, share[PORTION])
        while first < share[ITEMS]:
            items(own, first, min(first + share[PORTION], share[ITEMS]), given)
            first = _claim(share, NEXT, share[PORTION])
        _set_rounding(before)

    team = _team_runs(work)

    @njit  # type: ignore[untyped-decorator, unused-ignore]
    def run(share: Any, scratch: Any, given: Any) -> None:
        team(share[ADDRESS], share[THREADS], _uncounted((share, scratch, given)))

    return run
