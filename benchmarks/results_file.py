"""The results: a JSON list of rows, replaced as a whole after every row, so that a crash loses nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks.atomic import write_text

Row = dict[str, Any]


class ResultsFile:
    """Rows by name, in the order in which they first came."""

    def __init__(self, path: Path) -> None:
        """Goes on with what the file already holds."""
        self.path = path
        self._rows: dict[str, Row] = {row["name"]: row for row in read_rows(path)} if path.exists() else {}

    def put(self, row: Row) -> None:
        """Adds the row, or replaces the one of its name, on disk too."""
        self._rows[row["name"]] = row
        write_text(self.path, rows_text(list(self._rows.values())))

    def find(self, name: str) -> Row | None:
        return self._rows.get(name)


def rows_text(rows: list[Row]) -> str:
    """JSON with one row a line, so that two files differ by the rows that differ."""
    lines = ",\n".join(json.dumps(row, allow_nan=False) for row in rows)
    return f"[\n{lines}\n]\n"


def read_rows(path: Path) -> list[Row]:
    rows: list[Row] = json.loads(path.read_text(encoding="utf-8"))
    return rows
