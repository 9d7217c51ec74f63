"""Reads a page and raises where it is not well formed."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser

VOID = {"meta"}


class Strict(HTMLParser):
    """Raises where an element is not closed in its turn; collects tags, attributes and words."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str]] = []
        self.words = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words += data


def read(html: str) -> Strict:
    parser = Strict()
    parser.feed(html)
    parser.close()
    assert parser.open == []
    return parser


def check_page(html: str) -> Strict:
    """Well formed, with nothing from outside, every drawing sound and every colour in the style sheet."""
    page = read(html)
    assert page.tags.isdisjoint({"script", "link", "img", "iframe", "object", "base", "use", "image"})
    assert {name for name, _ in page.attributes}.isdisjoint({"src", "href", "srcset", "xlink:href", "style"})
    assert not re.search(r"https?:|//|@import|url\(", html)
    assert "prefers-color-scheme: dark" in html
    assert ("name", "viewport") in page.attributes
    for drawing in re.findall(r"<svg.*?</svg>", html, re.S):
        ElementTree.fromstring(drawing)
    styles = set(re.findall(r'path class="(\w+)"', html))
    assert all(f".{style}" in html.split("</style>")[0] for style in styles)
    return page
