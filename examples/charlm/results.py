"""The results as JSON: written again after every step, whole or not at all."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sprnn_runtime import container


@dataclass(slots=True, eq=False)
class Results:
    """``header`` says where and how; ``models`` by name what came out of each."""

    path: Path
    header: dict[str, Any]
    models: dict[str, dict[str, Any]] = field(default_factory=dict)

    def put(self, model: str, **values: Any) -> None:
        """Adds to what is known of a model, and writes."""
        self.models.setdefault(model, {}).update(values)
        self.write()

    def append(self, model: str, key: str, row: dict[str, Any]) -> None:
        """Adds a row to a list of a model, and writes."""
        self.models.setdefault(model, {}).setdefault(key, []).append(row)
        self.write()

    def write(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(self.header | {"models": self.models}, indent=1) + "\n"
        container.write_file(self.path, text.encode())
