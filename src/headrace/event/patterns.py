"""Regular expressions that mean the same to pydantic (Rust) and to msgspec (Python)."""

from __future__ import annotations

import re

__all__ = ["shared_pattern"]

_CLASSES = {"d": "0-9", "w": "A-Za-z0-9_", "s": r" \t\n\r\f\v"}
_LITERAL = re.compile(r"[A-Za-z0-9 _@#%&=:;,/~!<>'\"-]")
_ESCAPED = re.compile(r"\\[.\-/+*?()\[\]{}|^$\\@]")
_QUANTIFIER = re.compile(r"(?:[*+?]|\{[0-9]{1,3}(?:,[0-9]{0,3})?\})\??")
_SET_ITEM = re.compile(
    r"\\[dws]|\\[.\-/+*?()\[\]{}|^$\\]|[A-Za-z0-9]-[A-Za-z0-9]|[A-Za-z0-9 _.@#%=:;,/+*!?$()'\"]|-(?=\])"
)


def shared_pattern(pattern: str) -> str | None:
    r"""Return a Python pattern that accepts nothing that Rust's would refuse, or None if that is not sure.

    ``\d``, ``\w`` and ``\s`` become their ASCII part, and ``$`` becomes ``\Z``, since Python's
    also matches before a final newline. Both search anywhere, as msgspec and pydantic do.
    """
    out: list[str] = []
    at = depth = 0
    while at < len(pattern):
        lexeme, text = _token(pattern, at)
        if text is None:
            return None
        quantified = _QUANTIFIER.match(pattern, at + len(lexeme))
        if quantified and lexeme in {"^", "$", "(", "(?:", "|"}:
            return None
        depth += lexeme.startswith("(") - (lexeme == ")")
        if depth < 0:
            return None
        out.append(text + (quantified.group() if quantified else ""))
        at += len(lexeme) + (len(quantified.group()) if quantified else 0)
    return "".join(out) if depth == 0 else None


def _token(pattern: str, at: int) -> tuple[str, str | None]:
    head = pattern[at]
    if pattern.startswith("(?:", at):
        return "(?:", "(?:"
    if head == "(" and pattern[at + 1 : at + 2] != "?":
        return head, head
    if head in "^.|)":
        return head, head
    if head == "$":
        return head, r"\Z"
    if _LITERAL.match(head):
        return head, head
    if head == "\\" and pattern[at + 1 : at + 2] in _CLASSES and pattern[at + 1 :]:
        return pattern[at : at + 2], f"[{_CLASSES[pattern[at + 1]]}]"
    if escaped := _ESCAPED.match(pattern, at):
        return escaped.group(), escaped.group()
    return _set(pattern, at) if head == "[" else (head, None)


def _set(pattern: str, at: int) -> tuple[str, str | None]:
    end = at + 1
    negated = pattern[end : end + 1] == "^"
    end += negated
    items: list[str] = []
    while item := _SET_ITEM.match(pattern, end):
        text = item.group()
        if text[0] == "\\" and text[1] in _CLASSES:
            if negated:  # the ASCII part would make the complement wider
                return "[", None
            items.append(_CLASSES[text[1]])
        else:
            items.append(text)
        end = item.end()
    if not items or pattern[end : end + 1] != "]":
        return "[", None
    return pattern[at : end + 1], "[" + "^" * negated + "".join(items) + "]"
