"""Page -> HTML: one file without anything from outside, through one template that decides nothing."""

from __future__ import annotations

from functools import cache

from jinja2 import Environment, StrictUndefined

from sprnnc.codegen.render import PackageLoader
from sprnnc.explanation.facts import Facts
from sprnnc.explanation.page import make_page
from sprnnc.recursion import room_for_deep_expressions


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader(),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=True,
    )


@room_for_deep_expressions()
def explain_html(facts: Facts) -> str:
    """The page about an artifact, complete in itself."""
    return _environment().get_template("report.html.j2").render(page=make_page(facts))
