"""Stable codes of the language's errors. A code is never reused for another meaning."""

from __future__ import annotations

from enum import StrEnum


class Code(StrEnum):
    """E1xx: the text is not a program. E2xx: the program means nothing."""

    UNKNOWN_CHARACTER = "E101"
    UNEXPECTED = "E102"
    UNCLOSED_BRACKET = "E103"
    STATEMENT_CUT = "E104"
    UNKNOWN_STATEMENT = "E105"
    TOO_DEEP = "E106"

    UNDEFINED = "E201"
    DUPLICATE = "E202"
    INNER_DIMENSION = "E203"
    SPACES_DIFFER = "E204"
    MATRIX_ELEMENTWISE = "E205"
    NOT_A_MATRIX = "E206"
    NO_NEXT_STATE = "E207"
    READ_BEFORE_DEFINED = "E208"
    NOT_ASSIGNABLE = "E209"
    UNUSED = "E210"
    BAD_SIZE = "E211"
    SIZES_UNKNOWN = "E212"
    BAD_PATTERN = "E213"
    PATTERN_SHAPE = "E214"
    PATTERN_RANGE = "E215"
    BAD_DTYPE = "E216"
    UNKNOWN_FUNCTION = "E217"
    ARGUMENT_COUNT = "E218"
    NOT_A_VECTOR = "E219"
    BAD_OUTPUT = "E220"
    WHICH_CELL = "E221"
    ONE_LAYER = "E222"
    NUMBER_RANGE = "E223"
    INCOMPLETE_CELL = "E224"
    STREAM_SIZE = "E225"
    CYCLE = "E226"
    INCOMPLETE_MODEL = "E227"
    CANNOT_SHARE = "E228"
