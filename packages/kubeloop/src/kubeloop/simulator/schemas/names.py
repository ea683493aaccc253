"""The names of fields as rules in CEL write them."""

from functools import cache

# fmt: off
_RESERVED = frozenset((
    "true", "false", "null", "in", "as", "break", "const", "continue", "else", "for", "function", "if", "import", "let",
    "loop", "package", "namespace", "return", "var", "void", "while",
))
# fmt: on


@cache
def escaped(name: str) -> str:
    """As rules write the name of a field."""
    if name in _RESERVED:
        return f"__{name}__"
    for char, word in (("__", "underscores"), (".", "dot"), ("-", "dash"), ("/", "slash")):
        name = name.replace(char, f"__{word}__") if char != "__" else name.replace(char, "\0")
    return name.replace("\0", "__underscores__")
