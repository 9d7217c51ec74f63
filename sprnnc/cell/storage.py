"""Storage types as NumPy knows them."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from sprnnc.cell.ir import DType

NUMPY_TYPE: dict[DType, Any] = {
    DType.FP32: np.float32,
    DType.FP16: np.float16,
    DType.BF16: ml_dtypes.bfloat16,
}


def to_storage(values: NDArray[Any], dtype: DType) -> NDArray[Any]:
    """``values`` rounded to the storage type (round to nearest even)."""
    with np.errstate(over="ignore"):
        return values.astype(NUMPY_TYPE[dtype])
