"""What an artifact is and what its step costs: as text, and as a page to look at."""

from __future__ import annotations

from sprnnc.artifact import Artifact
from sprnnc.diagnostics import fail
from sprnnc.explanation.facts import Facts, gather_facts
from sprnnc.explanation.html import explain_html
from sprnnc.explanation.network_text import explain_network
from sprnnc.explanation.text import explain_facts
from sprnnc.network_artifact import Compiled, NetworkArtifact

__all__ = ["Facts", "explain", "explain_facts", "explain_html", "explain_network", "gather_facts"]


def explain(artifact: Compiled) -> str:
    """The facts of an artifact alone, as text. Raises CompileError E604 for anything that is none."""
    if isinstance(artifact, NetworkArtifact):
        return explain_network(artifact)
    if not isinstance(artifact, Artifact):
        raise fail(
            "E604",
            f"explain takes an artifact, got {type(artifact).__name__}",
            help="load a file with sprnnc.load(path)",
        )
    return explain_facts(gather_facts(artifact))
