"""Two versions of a layer over the same data: how far apart they are, and what each costs."""

from sprnnc.comparison.compare import Comparison, Version, compare
from sprnnc.comparison.page import comparison_html
from sprnnc.comparison.text import comparison_text

__all__ = ["Comparison", "Version", "compare", "comparison_html", "comparison_text"]
