"""Trained models of other tools to cells of the language and their weights."""

from __future__ import annotations

from sprnnc.importing.files import import_file
from sprnnc.importing.layer import ImportedLayer
from sprnnc.importing.module import from_module, from_state_dict
from sprnnc.importing.stack import run_stack
from sprnnc.importing.write import files_of

__all__ = ["ImportedLayer", "files_of", "from_module", "from_state_dict", "import_file", "run_stack"]
