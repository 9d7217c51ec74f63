"""What ``sprnnc bench --save`` measured of an artifact, in a file beside it."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

from sprnn_runtime import container

SUFFIX = ".bench.json"
_DIGEST_BYTES = 32  # at the end of every artifact file


@dataclass(frozen=True, slots=True)
class Measurement:
    """Microseconds a step on a device. ``artifact``: the checksum of what was measured, in hex."""

    artifact: str
    device: str
    steps: int
    repeats: int
    median_us: float
    low_us: float
    high_us: float


def checksum(artifact: Path) -> str:
    """The checksum that ends the artifact file. Raises ArtifactError E602 where it cannot be read."""
    return container.read_file(artifact)[-_DIGEST_BYTES:].hex()


def file_beside(artifact: Path) -> Path:
    """Where the measurement of an artifact is kept."""
    return artifact.with_name(artifact.name + SUFFIX)


def save(measurement: Measurement, artifact: Path) -> Path:
    """Writes it whole or not at all. Raises SprnnError E605 where it cannot be written."""
    where = file_beside(artifact)
    text = json.dumps(dataclasses.asdict(measurement), indent=1) + "\n"
    container.write_file(where, text.encode())
    return where


def find(artifact: Path) -> Measurement | None:
    """The measurement of this very artifact, if there is a readable one beside it."""
    try:
        data = json.loads(file_beside(artifact).read_text(encoding="utf-8"))
        found = Measurement(
            artifact=str(data["artifact"]),
            device=str(data["device"]),
            steps=int(data["steps"]),
            repeats=int(data["repeats"]),
            median_us=float(data["median_us"]),
            low_us=float(data["low_us"]),
            high_us=float(data["high_us"]),
        )
    except (OSError, ValueError, KeyError, TypeError, RecursionError, OverflowError):
        return None
    return found if found.artifact == checksum(artifact) else None
