"""Pass 7, second half: KernelModel -> CUDA C, through one template that decides nothing."""

from __future__ import annotations

from functools import cache
from importlib import resources

from jinja2 import BaseLoader, Environment, StrictUndefined

from sprnnc.codegen.model import KernelModel


class PackageLoader(BaseLoader):
    """Loads templates from the ``sprnnc.templates`` package, installed or not."""

    def get_source(self, environment: Environment, template: str) -> tuple[str, str, None]:
        del environment
        text = resources.files("sprnnc.templates").joinpath(template).read_text(encoding="utf-8")
        return text, template, None


@cache
def environment(autoescape: bool = False) -> Environment:
    """Where every template of the package is rendered; ``autoescape`` for HTML."""
    return Environment(
        loader=PackageLoader(),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=autoescape,
    )


def render(model: KernelModel) -> str:
    """The source of a kernel: self-contained CUDA C, helpers included."""
    return environment().get_template("kernel.cu.j2").render(k=model)
