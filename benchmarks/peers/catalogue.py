"""Every configuration of every system for one case."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from benchmarks.cases import Case
from benchmarks.cells import CellKind, Mode
from benchmarks.peers import flashrnn_peer, torch_peer
from benchmarks.peers.inputs import PeerInputs
from benchmarks.peers.library import PeerLibrary
from benchmarks.peers.outcome import Measured, Peer, Precision, Refused, Timing

Run = Callable[[PeerInputs, Timing], Measured]
FP16, TF32, FP32 = Precision.FP16, Precision.TF32, Precision.FP32

# Dense kernels may like a full tensor-core tile of columns better than a few.
PADDED_BATCH = 8
CUDNN_ALGORITHMS = {"standard": 0, "persist_static": 1, "persist_dynamic": 2, "persist_static_small_h": 3}
_CUSPARSE_ALGORITHMS = {"csr_alg1": 4, "csr_alg2": 6, "csr_alg3": 12}
# Beyond these the dynamic algorithm takes many times the best peer's time, and as long to build.
_DYNAMIC_WEIGHTS, _DYNAMIC_BATCH = 24_000_000, 8
# The configurations that were the best peer of some shape when all of them were measured.
_STRONGEST = (
    "cudnn standard fp16",
    "cudnn persist_static fp16",
    "cudnn persist_static_small_h fp16",
    "cudnn persist_dynamic fp32",
    "cublas graph fp16",
    "cusparse graph csr_alg2 fp32",
    "torch nn fp16",
)


def peers_of(
    case: Case, library: PeerLibrary, *, strongest_only: bool = False, flashrnn_seconds: float = 0
) -> list[Peer]:
    """The peers that an honest comparison of ``case`` needs; those that cannot compete are left out.

    ``flashrnn_seconds``: time that FlashRNN may take to build its kernel; 0 leaves it out.
    """
    peers = [*cudnn_peers(case, library), *_cublas(case, library), *_cusparse(case, library), *_torch(case)]
    if flashrnn_seconds > 0:
        peers.append(flashrnn_peer_of(case, flashrnn_seconds))
    peers = [p for p in peers if p.precision.may_compete_with(case.dtype)]
    return [p for p in peers if _is_strong(p, case)] if strongest_only else peers


def _is_strong(peer: Peer, case: Case) -> bool:
    unpadded = peer.name.removesuffix(f" pad{peer.batch}")
    return case.dtype == "fp32" or unpadded in _STRONGEST or peer.system == "flashrnn"


def cudnn_peers(case: Case, library: PeerLibrary) -> Iterator[Peer]:
    """Every algorithm at every precision, at the case's batch and padded."""
    for variant, algorithm in CUDNN_ALGORITHMS.items():
        run: Run = partial(_run_cudnn, library, algorithm)
        if variant == "persist_dynamic":
            run = partial(_run_dynamic, run)
        yield from _over_precisions(case, "cudnn", variant, run)


def _run_cudnn(library: PeerLibrary, algorithm: int, inputs: PeerInputs, timing: Timing) -> Measured:
    return library.cudnn(inputs, timing, algorithm)


def _run_dynamic(run: Run, inputs: PeerInputs, timing: Timing) -> Measured:
    if inputs.recurrent.size > _DYNAMIC_WEIGHTS or inputs.batch > _DYNAMIC_BATCH:
        raise Refused(f"not tried above {_DYNAMIC_WEIGHTS // 10**6} M weights or {_DYNAMIC_BATCH} columns")
    return run(inputs, timing)


def _cublas(case: Case, library: PeerLibrary) -> Iterator[Peer]:
    return _over_precisions(case, "cublas", "graph", library.cublas_graph)


def _cusparse(case: Case, library: PeerLibrary) -> Iterator[Peer]:
    """Never padded: its time grows with the columns. It has no TF32 of its own."""
    for variant, algorithm in _CUSPARSE_ALGORITHMS.items():
        run: Run = partial(_run_cusparse, library, algorithm)
        for precision in (FP16, FP32):
            yield Peer("cusparse", f"graph {variant}", precision, case.batch, False, run)


def _run_cusparse(library: PeerLibrary, algorithm: int, inputs: PeerInputs, timing: Timing) -> Measured:
    return library.cusparse_graph(inputs, timing, algorithm)


def _torch(case: Case) -> Iterator[Peer]:
    """In mode recurrent one peer that refuses stands for all of them."""
    if case.mode is Mode.LAYER:
        yield from _over_precisions(case, "torch", "nn", torch_peer.run)
    else:
        precision = FP32 if case.dtype == "fp32" else FP16
        yield Peer("torch", "nn", precision, case.batch, False, torch_peer.run)


def flashrnn_peer_of(case: Case, seconds: float) -> Peer:
    """FlashRNN, which may take ``seconds`` to build its kernel."""
    batch = -(-case.batch // PADDED_BATCH) * PADDED_BATCH
    run: Run = partial(flashrnn_peer.run, seconds)
    variant = "alternating" if case.kind is CellKind.GRU else "fused"
    return Peer("flashrnn", variant, Precision.BF16, batch, batch != case.batch, run)


def _over_precisions(case: Case, system: str, variant: str, run: Run) -> Iterator[Peer]:
    """One peer for each precision, at the case's batch and padded."""
    for precision in (FP16, TF32, FP32):
        for batch in sorted({case.batch, max(case.batch, PADDED_BATCH)}):
            yield Peer(system, variant, precision, batch, batch != case.batch, run)
