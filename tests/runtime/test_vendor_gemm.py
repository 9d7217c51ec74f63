"""Products through cuBLASLt: the calls that are made mean what the kernels compute."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
import pytest
from drawn import EXAMPLES, LIMIT
from sprnn_runtime import cuda_device
from sprnn_runtime import layer as layers
from sprnn_runtime.errors import ArtifactError, DeviceError
from sprnn_runtime.manifest import Gemm, Manifest
from sprnn_runtime.sim_device import SimDevice
from sprnn_runtime.vendor_gemm import Product, VendorGemm, as_float32, weight_stride

import sprnnc
from sprnnc.cell.ir import DType
from sprnnc.layout.packing import pack_dense


class PlayedLibrary:
    """cuBLASLt's functions as its header has them, on host memory, by the definition of a GEMM.

    ``refusing``: the heuristic knows no algorithm.
    """

    def __init__(self, refusing: bool = False) -> None:
        self.objects: dict[int, Any] = {}
        self.alignments: list[int] = []
        self.searches = self.products = 0
        self._refusing = refusing

    def _new(self, out: Any, value: Any) -> int:
        number = len(self.objects) + 1
        self.objects[number] = value
        out._obj.value = number
        return 0

    def cublasLtCreate(self, out: Any) -> int:
        return self._new(out, "handle")

    def cublasLtDestroy(self, handle: Any) -> int:
        self.objects[handle.value] = None
        return 0

    def cublasLtMatmulDescCreate(self, out: Any, compute: int, scale: int) -> int:
        assert compute in (69, 77) and scale == 0
        return self._new(out, {"compute": compute})

    def cublasLtMatmulDescSetAttribute(self, desc: Any, name: int, value: Any, size: Any) -> int:
        assert (name, value._obj.value, size.value) == (3, 1, 4), "A alone is transposed"
        self.objects[desc.value]["transposed"] = True
        return 0

    def cublasLtMatrixLayoutCreate(self, out: Any, kind: int, rows: Any, columns: Any, stride: Any) -> int:
        assert kind == 0 and stride.value >= rows.value
        return self._new(out, (rows.value, columns.value, stride.value))

    def cublasLtMatmulPreferenceCreate(self, out: Any) -> int:
        return self._new(out, {})

    def cublasLtMatmulPreferenceSetAttribute(self, preference: Any, name: int, value: Any, size: Any) -> int:
        assert size.value == ctypes.sizeof(value._obj)
        self.objects[preference.value][name] = value._obj.value
        return 0

    def cublasLtMatmulAlgoGetHeuristic(self, *args: Any) -> int:
        preference, asked, _, count = args[6:]
        assert asked == 1
        wanted = self.objects[preference.value]
        assert wanted[3] == 0, "sums are not split"
        self.alignments.append(wanted[6])
        self.searches += 1
        count._obj.value = 0 if self._refusing else 1
        return 0

    def cublasLtMatmul(self, *args: Any) -> int:
        _, operation, alpha, a, a_layout, b, b_layout, beta, _, _, d, d_layout, *_ = args
        assert (alpha._obj.value, beta._obj.value) == (1, 0)
        assert self.objects[operation.value]["transposed"]
        left, right = (self._view(p, m) for p, m in ((a, a_layout), (b, b_layout)))
        self._view(d, d_layout)[:] = left.T @ right
        self.products += 1
        return 0

    def _view(self, pointer: Any, layout: Any) -> np.ndarray:
        """A matrix by columns, as BLAS counts."""
        rows, columns, stride = self.objects[layout.value]
        count = (columns - 1) * stride + rows
        flat = np.ctypeslib.as_array((ctypes.c_float * count).from_address(pointer.value))
        return np.lib.stride_tricks.as_strided(flat, (rows, columns), (4, 4 * stride))

    def __getattr__(self, name: str) -> Any:
        assert name.endswith("Destroy"), name
        return lambda made: self.objects.pop(made.value) and 0


class MultiplyingSim(SimDevice):
    """The simulator with a played library: the runtime's own way to a vendor's product."""

    def __init__(self, library: PlayedLibrary, *args: Any) -> None:
        super().__init__(*args)
        self.gemm = VendorGemm(library)

    def multiplies(self, gemm: Gemm, *, exact: bool) -> bool:
        self.gemm.prepare(self._kind(gemm, exact))
        return True

    def multiply(self, gemm: Gemm, *memory: Any, exact: bool, **_: Any) -> None:
        weight, operand, product, columns = memory
        first = operand.ctypes.data + 4 * gemm.first
        kind = self._kind(gemm, exact)
        self.gemm.multiply(kind, weight.ctypes.data, first, product.ctypes.data, columns, 0, 0)

    @staticmethod
    def _kind(gemm: Gemm, exact: bool) -> Product:
        return Product(gemm.rows, gemm.cols, weight_stride(gemm.cols), gemm.stride, exact)


@pytest.mark.parametrize("dtype", ["fp32", "fp16", "bf16"])
@pytest.mark.parametrize("cell", ["lstm", "gru_reset_before", "slstm"])
def test_a_layer_with_a_library_equals_the_one_without(cell: str, dtype: str) -> None:
    artifact = sprnnc.compile(
        EXAMPLES / f"{cell}.sprnn",
        random_weights=2,
        batch=3,
        target="sim",
        dtype=dtype,
        sizes={"I": 11},
        schedule={"steps_per_launch": 4},
    )
    loaded, played = artifact.loaded(), PlayedLibrary()
    assert any(k.gemm for k in loaded.manifest.kernels)
    x = np.random.default_rng(0).standard_normal((9, 3, 11)).astype(np.float32)
    device = MultiplyingSim(played, loaded.source, loaded.manifest.kernels)
    with layers.Layer(loaded, device) as with_library, layers.open_layer(loaded, "sim") as without:
        y, state = with_library(x)
        expected, expected_state = without(x)
    assert played.products == 3 and played.searches == 2, "three chunks, one search an alignment"
    np.testing.assert_allclose(y, expected, atol=LIMIT[dtype], rtol=LIMIT[dtype])
    for name in state:
        np.testing.assert_allclose(state[name], expected_state[name], atol=LIMIT[dtype], rtol=LIMIT[dtype])


def test_an_operand_that_begins_anywhere_is_told_to_the_library() -> None:
    played = PlayedLibrary()
    gemm, kind = VendorGemm(played), Product(2, 3, 4, 5, True)
    gemm.prepare(kind)
    assert sorted(played.alignments) == [4, 16]


def test_what_no_algorithm_serves_is_an_error_before_any_product() -> None:
    with pytest.raises(OSError, match="no algorithm"):
        VendorGemm(PlayedLibrary(refusing=True)).prepare(Product(2, 3, 4, 5, False))


def test_a_gpu_without_room_for_a_workspace_keeps_the_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(cuda_device.CudaDevice):
        def __init__(self) -> None:
            self._place, self._workspaces = cuda_device._Place(), {}
            self._place.current = 0

        def allocate(self, size_bytes: int) -> cuda_device.GpuMemory:
            raise DeviceError("E613", f"cannot allocate {size_bytes} bytes of GPU memory")

    monkeypatch.setattr(cuda_device, "find_library", PlayedLibrary)
    assert Full()._open_gemm() is None


def test_every_object_is_destroyed_but_those_of_kept_calls() -> None:
    played = PlayedLibrary()
    gemm, kind = VendorGemm(played), Product(2, 3, 4, 4, True)
    gemm.prepare(kind)
    memory = np.zeros(4096, np.float32)
    for columns in range(1, 100):
        at = memory.ctypes.data
        gemm.multiply(kind, at, at, at + 4096, columns, 0, 0)
    assert len(played.objects) <= 1 + 4 * 64
    gemm.close()
    assert set(played.objects.values()) <= {None}


@pytest.mark.parametrize("dtype", ["fp32", "fp16", "bf16"])
def test_a_weight_unpacks_to_what_was_packed(dtype: str) -> None:
    matrix = np.random.default_rng(1).integers(-8, 8, (5, 7)).astype(np.float32)
    wide = as_float32(pack_dense(matrix, DType(dtype)), dtype, 7)
    assert wide.shape == (5, 8)
    np.testing.assert_array_equal(wide[:, :7], matrix)
    assert not wide[:, 7].any()


@pytest.mark.parametrize(
    "change",
    [
        {"rows": 257},
        {"cols": 15},
        {"first": 1},
        {"stride": 17},
        {"operand": "y"},
        {"weight": "units_H"},
        {"product": "x"},
        {"rows": -1},
    ],
)
def test_a_product_that_does_not_fit_its_buffers_is_refused(change: dict[str, Any]) -> None:
    artifact = sprnnc.compile(EXAMPLES / "lstm.sprnn", random_weights=2, target="sim")
    json = artifact.manifest.to_json()
    kernel = next(k for k in json["kernels"] if k["gemm"])
    kernel["gemm"] |= change
    with pytest.raises(ArtifactError, match="malformed manifest"):
        Manifest.from_json(json)


def test_a_product_of_an_expression_stays_the_kernels() -> None:
    text = """cell C(I, H) {
      input x[I]
      state h[H]
      weight W[H, I]
      weight U[H, H] sparse(0.5)
      h' = tanh(W @ (x * 2) + U @ h)
      output h'
    }
    model m { layer main = C(I=8, H=8) }"""
    for source, wanted in ((text, False), (text.replace("(x * 2)", "x"), True)):
        kernels = sprnnc.compile(source, random_weights=0, target="sim").manifest.kernels
        assert any(k.gemm for k in kernels) is wanted
    kernels = sprnnc.compile(
        text.replace("(x * 2)", "x"), random_weights=0, target="sim", schedule={"input_products": "kernel"}
    ).manifest.kernels
    assert not any(k.gemm for k in kernels)
