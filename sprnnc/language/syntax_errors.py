"""A syntax error in the user's words: what was expected, what stands there, the likely fix."""

from __future__ import annotations

from dataclasses import dataclass

from lark import Token, UnexpectedCharacters, UnexpectedToken

from sprnnc.diagnostics import Diagnostic, Span
from sprnnc.language.brackets import innermost_open
from sprnnc.language.codes import Code
from sprnnc.language.report import near_match

_BLOCK_WORDS = ("cell", "model", "schedule")
_CELL_WORDS = ("input", "state", "weight", "bias", "const", "output")
_MODEL_WORDS = ("input", "embedding", "layer", "output", "dtype", "accumulate")
_KEYWORDS = frozenset(_BLOCK_WORDS + _CELL_WORDS + _MODEL_WORDS)

# Sets of terminals that mean one thing to the user, largest first.
_PHRASES: tuple[tuple[frozenset[str], str], ...] = (
    (frozenset({*(w.upper() for w in _CELL_WORDS), "NAME", "NEXT"}), "a declaration or an equation"),
    (
        frozenset(w.upper() for w in _MODEL_WORDS),
        "'input', 'embedding', 'layer', 'output', 'dtype' or 'accumulate'",
    ),
    (frozenset({"_SHARES", "_REVERSE", "_ON"}), "'shares', 'reverse' or 'on'"),
    (frozenset({"_REVERSE", "_ON"}), "'reverse' or 'on'"),
    (frozenset({"_ON"}), "'on'"),
    (frozenset({"NAME", "LSQB"}), "a layer's name or '['"),
    (frozenset(w.upper() for w in _BLOCK_WORDS), "'cell', 'model' or 'schedule'"),
    (frozenset({"NAME", "NUMBER", "MINUS", "LPAR"}), "an expression"),
    (frozenset({"PLUS", "MINUS", "STAR", "SLASH"}), "an operator"),
    (frozenset({"NAME"}), "a name"),
    (frozenset({"NUMBER"}), "a number"),
    (frozenset({"LPAR"}), "'('"),
    (frozenset({"RPAR"}), "')'"),
    (frozenset({"LSQB"}), "'['"),
    (frozenset({"RSQB"}), "']'"),
    (frozenset({"LBRACE"}), "'{'"),
    (frozenset({"RBRACE"}), "'}'"),
    (frozenset({"COMMA"}), "','"),
    (frozenset({"EQUAL"}), "'='"),
    (frozenset({"PLUS"}), "'+'"),
    (frozenset({"_NL"}), "the end of the line"),
    (frozenset({"$END"}), "the end of the file"),
)

# What a phrase also covers where the parser happens to accept it.
_IMPLIED = {
    "an expression": frozenset({"NEXT"}),
    "an operator": frozenset({"AT", "LPAR"}),
    "a name": frozenset({"NEXT"}),
}

_CHARACTER_HELP = {
    "^": "there is no power operator: write x * x, or exp(y * log(x))",
    ";": "a newline ends a statement: put the next one on its own line",
    "'": "the prime of a next state follows its name without a space: c'",
    ".": "'*' is the elementwise product and '@' the matrix product; a number needs a digit after the point",
    '"': "names and values are written without quotes",
    "%": "a comment begins with '#'",
}
_ANY_CHARACTER_HELP = "the language has names, numbers, + - * / @ = , ' ( ) [ ] { } and # comments"


@dataclass(frozen=True, slots=True)
class _Trouble:
    """An unexpected token and what the explanations below ask about it."""

    token: Token
    expected: frozenset[str]
    before: str
    """The text up to the token."""

    @property
    def at_end(self) -> bool:
        return self.token.type == "$END"

    @property
    def line_so_far(self) -> str:
        return self.before[self.before.rfind("\n") + 1 :].strip()

    @property
    def span(self) -> Span:
        if self.at_end or self.token.type == "_NL":
            line = self.before.count("\n") + 1
            column = len(self.before) - self.before.rfind("\n")
            return Span(line, column, line, column + 1)
        return _token_span(self.token)

    @property
    def found(self) -> str:
        names = {"$END": "the end of the file", "_NL": "the end of the line"}
        return names.get(self.token.type, f"'{self.token}'")

    @property
    def wanted(self) -> str:
        return _in_words(self.expected)


def explain(error: UnexpectedCharacters | UnexpectedToken, text: str) -> Diagnostic:
    """The one diagnostic for what lark found wrong in ``text``."""
    if isinstance(error, UnexpectedCharacters):
        return _unknown_character(error, text)
    at_end = error.token.type == "$END"
    offset = len(text.rstrip()) if at_end else error.token.start_pos or 0
    expected = frozenset(error.accepts or error.expected)
    trouble = _Trouble(error.token, expected, text[:offset])
    return (
        _unclosed_bracket(trouble)
        or _cut_statement(trouble)
        or _unknown_statement(trouble)
        or _unexpected(trouble)
    )


def _unknown_character(error: UnexpectedCharacters, text: str) -> Diagnostic:
    offset = error.pos_in_stream or 0
    character = text[offset]
    span = Span(error.line, error.column, error.line, error.column + 1)
    fix = _CHARACTER_HELP.get(character, _ANY_CHARACTER_HELP)
    if character == "'" and text[:offset][-1:].isidentifier():
        fix = "a prime marks the next value of a state in an equation; a declaration has the plain name"
    return Diagnostic(
        Code.UNKNOWN_CHARACTER, f"the character {character!r} has no meaning here", span, help=fix
    )


def _unclosed_bracket(trouble: _Trouble) -> Diagnostic | None:
    bracket = innermost_open(trouble.before)
    if bracket is None:
        return None
    word = str(trouble.token)
    if bracket.text == "{":
        cut = trouble.at_end or (word in _BLOCK_WORDS and not trouble.line_so_far)
    else:
        first_on_later_line = trouble.token.line != bracket.span.line and not trouble.line_so_far
        cut = trouble.at_end or word in ("{", "}", "=") or (first_on_later_line and word not in (")", "]"))
    if not cut:
        return None
    return Diagnostic(
        Code.UNCLOSED_BRACKET,
        f"'{bracket.text}' is never closed",
        bracket.span,
        f"{trouble.found} comes before its '{bracket.closer}'",
        f"write '{bracket.closer}' where it ends",
    )


def _cut_statement(trouble: _Trouble) -> Diagnostic | None:
    if trouble.token.type != "_NL":
        return None
    return Diagnostic(
        Code.STATEMENT_CUT,
        "the statement is not complete at the end of its line",
        trouble.span,
        f"expected {trouble.wanted}",
        "only inside ( ) and [ ] does a statement go on in the next line:"
        " put a long expression in parentheses, and repeat the keyword of a long list",
    )


def _unknown_statement(trouble: _Trouble) -> Diagnostic | None:
    """A line that begins with a word that begins nothing here: ``wieght U[H, H]``."""
    if trouble.token.type != "NAME" and trouble.token not in _KEYWORDS:
        return None
    first = trouble.line_so_far
    if first.isidentifier() and trouble.expected == {"EQUAL"}:
        word = first
        known: tuple[str, ...] = _CELL_WORDS
        end = trouble.token.column or 1
        column = end - len(trouble.before) + trouble.before.rfind(word)
        span = Span(trouble.span.line, column, trouble.span.line, column + len(word))
    elif "NAME" not in trouble.expected and trouble.expected & _STATEMENT_TERMINALS:
        word, span = str(trouble.token), trouble.span
        known = _MODEL_WORDS if "LAYER" in trouble.expected else _BLOCK_WORDS
    else:
        return None
    return Diagnostic(
        Code.UNKNOWN_STATEMENT,
        f"no statement begins with '{word}' here",
        span,
        "expected " + _either(_quoted(known) + (("an equation",) if known is _CELL_WORDS else ())),
        _statement_help(word, known),
    )


_STATEMENT_TERMINALS = frozenset(w.upper() for w in _BLOCK_WORDS + _MODEL_WORDS)


def _statement_help(word: str, known: tuple[str, ...]) -> str:
    near = near_match(word, known)
    if near:
        return near
    if word in _CELL_WORDS:
        return f"'{word}' belongs inside a 'cell' block"
    if word in _MODEL_WORDS:
        return f"'{word}' belongs inside a 'model' block"
    if word in _BLOCK_WORDS:
        return f"'{word}' begins a block of its own: close this one with '}}' first"
    if known is _CELL_WORDS:
        return "an equation is written 'name = expression'"
    return "a '}' further up may close the block too early"


def _unexpected(trouble: _Trouble) -> Diagnostic:
    return Diagnostic(
        Code.UNEXPECTED,
        f"expected {trouble.wanted}, found {trouble.found}",
        trouble.span,
        help=_likely_fix(trouble),
    )


def _likely_fix(trouble: _Trouble) -> str:
    token, before = str(trouble.token), trouble.line_so_far
    first_word = before.split(" ")[0]
    if token == "=" and before in _KEYWORDS:
        return f"'{before}' is a keyword: give the equation another name"
    if token == "[" and "EQUAL" in trouble.expected:
        return f"an equation names its vector without a size: {before} = ..."
    if token == "[" and "STAR" in trouble.expected:
        return "vectors are used whole, without an index or a size"
    if token == "," and "RSQB" in trouble.expected:
        if first_word == "weight":
            return "a weight has one size or two: W[rows, cols]"
        return f"'{first_word}' declares vectors, which have one size; a matrix is a 'weight'"
    if token == "*" and before.endswith("*"):
        return "there is no power operator: write x * x"
    if trouble.token.type in ("NAME", "NEXT", "NUMBER", "LPAR") and "STAR" in trouble.expected:
        return f"is an operator missing before '{token}'? products are written with '*' or '@'"
    if trouble.at_end and not trouble.before:
        return "a program has at least one cell: cell Name(I, H) { ... }"
    if token in (")", "]", "}"):
        return f"this '{token}' closes nothing, or what stands before it is not complete"
    if token == "=":
        return "'=' stands once in a statement, between a name and its value"
    return "see the examples folder for complete programs"


def _in_words(expected: frozenset[str]) -> str:
    rest, phrases = set(expected), []
    for terminals, phrase in _PHRASES:
        if terminals <= rest:
            phrases.append(phrase)
            rest -= terminals | _IMPLIED.get(phrase, frozenset())
    return _either(tuple(phrases)) if phrases else "something else"


def _quoted(words: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(f"'{w}'" for w in words)


def _either(phrases: tuple[str, ...]) -> str:
    return phrases[0] if len(phrases) == 1 else ", ".join(phrases[:-1]) + " or " + phrases[-1]


def _token_span(token: Token) -> Span:
    line, column = token.line or 1, token.column or 1
    return Span(line, column, token.end_line or line, token.end_column or column + 1)
