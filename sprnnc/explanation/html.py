"""Page -> HTML: one file without anything from outside, through one template that decides nothing."""

from __future__ import annotations

from sprnnc.codegen.render import environment
from sprnnc.explanation.facts import Facts
from sprnnc.explanation.page import make_page
from sprnnc.recursion import room_for_deep_expressions


@room_for_deep_expressions()
def explain_html(facts: Facts) -> str:
    """The page about an artifact, complete in itself."""
    return environment(autoescape=True).get_template("report.html.j2").render(page=make_page(facts))
