"""Formulas in docstrings are Unicode, which a terminal shows; the pages set them in TeX.

An indented block of a docstring's prose is a formula of one or more lines. Two spaces or more separate parts of a line, words
are text.
"""

from __future__ import annotations

import re
import unicodedata

RAISED = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ᵀᵗⁿᶻⁱʲᵏˣᵞ", "0123456789+-Ttnzijkxγ")
LOWERED = str.maketrans("₀₁₂₃₄₅₆₇₈₉₊₋ₜₙᵢⱼₖₛ", "0123456789+-tnijks")
ACCENTS = {"\u0302": "hat", "\u0303": "tilde", "\u0304": "bar"}
FUNCTIONS = {"log", "exp", "tanh", "max", "min", "cos", "sin"}
OPERATORS = {"sign", "mean", "softmax", "sigmoid", "Var"}
SYMBOLS = {
    "−": "-", "←": r"\leftarrow ", "→": r"\to ", "⊙": r"\odot ", "·": r"\cdot ", "∂": r"\partial ", "Σ": r"\sum\nolimits ",
    "≤": r"\le ", "≥": r"\ge ", "‖": r"\|", "∈": r"\in ", "…": r"\dots ", "⌊": r"\lfloor ", "⌋": r"\rfloor ", "∝": r"\propto ",
    "≈": r"\approx ", "~": r"\sim ", "½": r"\tfrac12 ", "{": r"\{", "}": r"\}", "%": r"\%", "&": r"\&", "#": r"\#",
    "∞": r"\infty ", "×": r"\times ", "±": r"\pm ", "′": "'",
}  # fmt: skip

# In prose: one letter with an index or exponent in brackets, or an index of one letter, as h_{t−1}, e^{z_j}, Σ_k, n_in.
INDEXED = re.compile(
    r"(?<![\w`])[A-Za-zα-ωΛΣ][\u0302-\u0304]?(?:_(?:in|out|rows|[a-z0-9])(?![A-Za-z0-9_])|_\{[^{}]*\}|\^\{(?:[^{}]|\{[^{}]*\})*\}|\^\([^()]*\))"
    rf"[{''.join(map(chr, RAISED))}]*"
)

WORDS = r"(?<![A-Za-z_{])[A-Za-z]{2,}\w*(?:'s)?(?:,? (?:[A-Za-z]{2,}\w*|a|is)(?:'s)?(?![(_]))*"
TOKEN = re.compile(
    rf"(?P<index>[_^](?:\{{[^{{}}]*\}}|\([^()]*\)|\w+))|(?P<code>``[^`]*``)|(?P<words>{WORDS})|(?P<gap>\s{{2,}})|(?P<char>.)"
)


def plain_indices(text: str) -> str:
    """Small letters and digits, ``v²`` and ``μₜ``, as indices: ``v^{2}`` and ``μ_{t}``."""
    for sign, table in (("^", RAISED), ("_", LOWERED)):
        small = re.compile(f"[{''.join(map(chr, table))}]+")
        text = small.sub(lambda match, sign=sign, table=table: f"{sign}{{{match[0].translate(table)}}}", text)
    return text


def covered(text: str) -> int:
    """How many characters a root at the start of a text covers: those of a bracket, or one symbol with its accent and index."""
    if not text.startswith("("):
        return len(re.match(rf".[{''.join(ACCENTS)}]*(?:_\{{[^{{}}]*\}}|_\w)?", text)[0])  # type: ignore[index]
    depth = 0
    for end, char in enumerate(text, 1):
        depth += (char == "(") - (char == ")")
        if depth == 0:
            return end
    raise ValueError(f"a root without an end: {text}")


def index(piece: str) -> str:
    """``_{t−1}``, ``_t`` or ``_rows`` in TeX."""
    body = piece[1:].strip("{()}")
    body = rf"\text{{{body}}}" if re.fullmatch("[A-Za-z]{3,}", body) else r"\mathsf{T}" if body == "T" else tex(body)
    return f"{piece[0]}{{{body}}}"


def words(text: str, start: int, end: int) -> str:
    """A part of a line as text, with the space around it."""
    before, after = (" " if at >= 0 and text[at : at + 1] == " " else "" for at in (start - 1, end))
    return rf"\text{{{before}{text[start:end]}{after}}}".replace("_", r"\_")


def tex(text: str) -> str:
    """One line of a formula in TeX."""
    text = plain_indices(unicodedata.normalize("NFD", text))
    before, root, after = text.partition("√")
    if root:
        end = covered(after)
        inner = after[1 : end - 1] if after.startswith("(") else after[:end]
        return rf"{tex(before)}\sqrt{{{tex(inner)}}}{tex(after[end:])}"
    result = ""
    for match in TOKEN.finditer(text):
        piece = match[0]
        if match.lastgroup == "index":
            result += index(piece)
        elif match.lastgroup == "code":
            result += rf"\texttt{{{piece.strip('`')}}}".replace("_", r"\_")
        elif match.lastgroup == "gap":
            result += r"\quad " if len(piece) == 2 else r"\qquad "
        elif piece in ACCENTS:
            result = rf"{result[:-1]}\{ACCENTS[piece]}{{{result[-1]}}}"
        elif piece in FUNCTIONS:
            result += f"\\{piece} "
        elif match.lastgroup == "words":
            result += rf"\operatorname{{{piece}}}" if piece in OPERATORS else words(text, *match.span())
        else:
            result += SYMBOLS.get(piece, piece)
    return result


def with_inline_formulas(prose: str) -> str:
    """Letters with indices in a part of a docstring that has no code, in TeX, where the escaped bar of prose is a norm."""
    return INDEXED.sub(lambda match: r"\ :math:`" + tex(match[0].replace(r"\|", "|")) + r"`\ ", prose)


def display(lines: list[str]) -> str:
    """A block of lines, one below the other."""
    rows = r" \\[0.35em] ".join(tex(line.strip().rstrip(",.;")) for line in lines)
    return rf"\begin{{array}}{{l}} {rows} \end{{array}}"


def blocks(lines: list[str]) -> list[tuple[int, int]]:
    """Where the formulas of a docstring are: paragraphs indented by four spaces, above the first section."""
    rules = [n for n, line in enumerate(lines) if n and re.fullmatch("-{4,}", line.strip())]
    found, start = [], None
    for n, line in enumerate([*lines[: rules[0] - 1 if rules else None], ""]):
        formula = bool(re.match(r" {4}(?!>>>|\.\. |- |: )[^\"]*$", line)) and bool(line.strip())
        if start is None and formula and (n == 0 or not lines[n - 1].strip()):
            start = n
        elif start is not None and not formula:
            found.append((start, n))
            start = None
    return found


def with_formulas(lines: list[str]) -> list[str]:
    """The lines of a docstring with its formulas as display math."""
    result, last = [], 0
    for start, end in blocks(lines):
        result += [*lines[last:start], ".. math::", "", f"    {display(lines[start:end])}", ""]
        last = end
    return result + lines[last:]
