"""Results as a GPU gives them, with numbers that nobody measured."""

from __future__ import annotations

from typing import Any


def made_up() -> dict[str, Any]:
    def network(hidden: int, density: float, nonzeros: int, bits: float, us: float, system: str) -> dict:
        times = [
            {"system": system, "batch": batch, "dtype": dtype, "median_us": us * batch}
            for batch in (1, 4)
            for dtype in ("fp16", "fp32")
        ]
        kernel = {
            "batch": 1,
            "dtype": "fp16",
            "device": "cuda",
            "bits_per_character_checked": bits,
            "bits_per_character_reference": bits,
            "relative_error": 3e-4,
        }
        return {
            "hidden": hidden,
            "density": density,
            "nonzeros": nonzeros,
            "steps": 1000,
            "complete": True,
            "bits_per_character": bits,
            "density_by_gate": dict(zip("ifgo", (density, density / 2, density * 2, density), strict=True)),
            "times": times,
            "kernels": [kernel] if density < 1 else [],
        }

    return {
        "gpu": "a GPU",
        "commit": "abc1234",
        "python": "3.12.0",
        "torch": "2.0",
        "settings": {"arithmetic": "TF32 products"},
        "corpus": {"files": 50, "heldout_files": 5, "characters": 900_000, "heldout_characters": 90_000},
        "plan": {"steps": 1000, "trunk_steps": 400, "rounds": 2.5},
        "seconds": 400.0,
        "models": {
            "pruned-0.1": network(1024, 0.1, 791_303, 1.41, 1.0, "sprnnc"),
            "dense": network(1024, 1.0, 4_566_177, 1.4, 2.5, "torch.nn"),
            "pruned-0.05": network(1024, 0.05, 581_588, 1.45, 0.8, "sprnnc"),
            "dense-equal": network(408, 1.0, 791_400, 1.5, 2.0, "cudnn"),
        },
    }
