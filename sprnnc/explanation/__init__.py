"""What an artifact is and what its step costs: as text, and as a page to look at."""

from sprnnc.explanation.facts import Facts, gather_facts
from sprnnc.explanation.html import explain_html
from sprnnc.explanation.text import explain, explain_facts

__all__ = ["Facts", "explain", "explain_facts", "explain_html", "gather_facts"]
