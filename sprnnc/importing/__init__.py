"""Trained models of other tools to cells of the language and their weights."""

from __future__ import annotations

from sprnnc.importing.files import import_file
from sprnnc.importing.layer import ImportedLayer
from sprnnc.importing.model import ImportedModel, whole_models
from sprnnc.importing.module import from_module, from_state_dict
from sprnnc.importing.stack import run_stack
from sprnnc.importing.write import files_of, files_of_models

__all__ = [
    "ImportedLayer",
    "ImportedModel",
    "files_of",
    "files_of_models",
    "from_module",
    "from_state_dict",
    "import_file",
    "run_stack",
    "whole_models",
]
