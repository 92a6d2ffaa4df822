r"""Formulas of the index: read from formulas/*.tsv (a LaTeX line each) and printed as plain text.

A terminal shows \frac{a}{b} as a/b, \theta_i as θ_i, \sum_{i=1}^{n} as Σ_{i=1..n}; where its
encoding lacks the signs, as theta_i and sum_{i=1..n}. Pages use MathML: site/mathml.py.
"""

import re
from functools import cache
from pathlib import Path

from tinylm import book
from tinylm.errors import DataError

FOLDER = Path(__file__).parent / "formulas"

GREEK = dict(
    alpha="α", beta="β", gamma="γ", delta="δ", epsilon="ε", varepsilon="ε", zeta="ζ", eta="η",
    theta="θ", iota="ι", kappa="κ", lambda_="λ", mu="μ", nu="ν", xi="ξ", pi="π", rho="ρ",
    sigma="σ", tau="τ", phi="φ", varphi="φ", chi="χ", psi="ψ", omega="ω", Gamma="Γ", Delta="Δ",
    Theta="Θ", Lambda="Λ", Xi="Ξ", Pi="Π", Sigma="Σ", Phi="Φ", Psi="Ψ", Omega="Ω",
)  # fmt: skip
GREEK["lambda"] = GREEK.pop("lambda_")
SIGNS = {  # command: (sign, without it)
    **{name: (sign, name) for name, sign in GREEK.items()},
    "infty": ("∞", "inf"), "partial": ("∂", "d"), "nabla": ("∇", "grad "), "ell": ("ℓ", "l"),
    "cdot": ("·", " * "), "times": ("×", " x "), "odot": ("⊙", " * "), "circ": ("∘", " o "),
    "otimes": ("⊗", " (x) "), "oplus": ("⊕", " (+) "), "pm": ("±", "+-"),
    "le": ("≤", "<="), "leq": ("≤", "<="), "ge": ("≥", ">="), "geq": ("≥", ">="),
    "ne": ("≠", "!="), "neq": ("≠", "!="), "approx": ("≈", "~="), "equiv": ("≡", "=="),
    "in": ("∈", "in"), "notin": ("∉", "not in"), "sim": ("~", "~"), "propto": ("∝", "prop. to"),
    "cup": ("∪", "or"), "cap": ("∩", "and"), "subset": ("⊂", "subset of"), "setminus": ("\\", "\\"),
    "leftarrow": ("←", "<-"), "to": ("→", "->"), "rightarrow": ("→", "->"), "mapsto": ("↦", "->"),
    "Rightarrow": ("⇒", "=>"), "succ": ("≻", ">"), "prec": ("≺", "<"), "gg": ("≫", ">>"),
    "ll": ("≪", "<<"), "mid": ("|", "|"), "vert": ("|", "|"), "lvert": ("|", "|"),
    "rvert": ("|", "|"), "Vert": ("‖", "||"), "lVert": ("‖", "||"), "rVert": ("‖", "||"),
    "langle": ("⟨", "<"), "rangle": ("⟩", ">"), "lfloor": ("⌊", "floor("), "rfloor": ("⌋", ")"),
    "lceil": ("⌈", "ceil("), "rceil": ("⌉", ")"), "dots": ("..", ".."), "ldots": ("..", ".."),
    "cdots": ("..", ".."), "sum": ("Σ", "sum"), "prod": ("Π", "prod"), "int": ("∫", "int"),
    "top": ("T", "T"), "prime": ("'", "'"), "star": ("*", "*"), "ast": ("*", "*"),
    "vee": ("∨", "or"), "wedge": ("∧", "and"), "neg": ("¬", "not "),
    "forall": ("∀", "for all "), "exists": ("∃", "exists "), "lbrace": ("{", "{"),
    "rbrace": ("}", "}"),
}  # fmt: skip
SPACED = set(
    "= < > + le leq ge geq ne neq approx equiv in notin sim propto leftarrow to rightarrow mapsto "
    "Rightarrow succ prec gg ll mid cup cap vee wedge times odot circ otimes oplus pm "
    "subset".split()
)
SPACES = {",": " ", ";": " ", ":": " ", "!": "", " ": " ", "quad": "   ", "qquad": "    "}
ACCENTS = {
    "hat": "\u0302",
    "tilde": "\u0303",
    "bar": "\u0304",
    "overline": "\u0304",
    "vec": "\u20d7",
}
STYLES = {"mathrm", "mathbf", "mathcal", "mathbb", "operatorname", "text", "mathit", "boldsymbol"}
WORDS = set("log ln sin cos tan tanh exp max min arg lim sup inf det dim ker gcd Pr argmax".split())
DOUBLE = {"R": "ℝ", "N": "ℕ", "Z": "ℤ", "E": "𝔼"}

_COLUMN = "\1"  # stands between two columns until signs are placed
_FRACTION = "\0"  # stands behind a fraction until it is known what follows
_FACTOR = (
    r"[\w.'^∂∇√\u0300-\u036f]+|[∂\w\u0300-\u036f]+[_^]\{[^{}]*\}'?|√?\([^()]*\)|"
    r"[\w\u0300-\u036f]{2,}\([^()]*\)|\|[^|]*\||‖[^‖]*‖"
)
_TOKEN = re.compile(r"\\[A-Za-z]+|\\.|\s+|[{}_^&']|\d+(?:\.\d+)?|.", re.DOTALL)


@cache
def formulas(folder: Path | None = None) -> dict[str, tuple[str, ...]]:
    """The formulas of every row that has some: id -> LaTeX lines.

    folder   of .tsv tables with the columns id and formula; None: formulas/ beside this file
    raises   DataError, with file and line, for a table that is wrong
    """
    found = {}
    for path in sorted((folder or FOLDER).glob("*.tsv")):
        for _, (id, formula) in book.table(path, ["id", "formula"]):
            found[id] = (*found.get(id, ()), formula)
    return found


def plain(formula: str, ascii: bool = False) -> str:
    """A LaTeX formula as one line of text.

    formula  in the commands listed in this file, with \\begin{cases} and matrices
    ascii    no character beyond ASCII: theta, sum, <=
    returns  str
    raises   DataError naming a command that has no text
    """
    printer = _Printer(_TOKEN.findall(formula), ascii)
    text = re.sub(
        rf"{_FRACTION}(?=[\w(\[∇∂ΣΠ√|‖])", " ", printer.run().strip().replace(_COLUMN, " ")
    )
    text = text.replace(_FRACTION, "")
    text = re.sub(r"(?<! )  (?! )", " ", text)  # three spaces or more are a \\quad
    text = re.sub(r"(?<=\S) {3,}", "  ", text)
    text = re.sub(r" +([,;)\]]|\.(?!\.))", r"\1", text)
    if ascii:
        text = text.encode("ascii", "replace").decode()
    return text


class _Printer:
    """Walks over the tokens of a formula once, from left to right."""

    def __init__(self, tokens, ascii):
        self.tokens, self.at, self.ascii = tokens, 0, ascii

    def run(self, stop=()):
        """The text up to one of the tokens in `stop`, which is taken too."""
        text = ""
        while self.at < len(self.tokens):
            token = self.next()
            if token in stop:
                return text
            text = self.add(text, token)
        return text

    def next(self):
        self.at += 1
        return self.tokens[self.at - 1]

    def peek(self):
        if self.at < len(self.tokens):
            return self.tokens[self.at]
        return ""

    def argument(self):
        """The next group, or the next single token, as text."""
        while self.peek().isspace():
            self.next()
        if not self.peek():
            raise DataError("a formula ends where a command wants an argument")
        if self.peek() == "{":
            self.next()
            return self.run("}").strip()
        return self.add("", self.next()).strip()

    def word(self):
        """A group whose letters are a name, as in \\begin{cases}."""
        end = self.tokens.index("}", self.at)
        name = "".join(self.tokens[self.at + 1 : end])
        self.at = end + 1
        return name

    def add(self, text, token):
        """`text` with what a token prints behind it."""
        name = token[1:]
        if token.isspace():  # LaTeX ignores it; kept where two words would touch
            return text
        if token == "{":
            return self.join(text, self.run("}"))
        if token in ("_", "^"):
            return self.script(text.rstrip(), token)
        if token.startswith("\\") and len(token) > 1:
            return self.command(text, name)
        if token in ("=", "<", ">"):
            return f"{text.rstrip()} {token} "
        if (
            token in ("+", "-")
            and text
            and text.rstrip()[-1:] not in tuple("(=<>,[{^_|/←∈≤≥~;:" + _COLUMN)
        ):
            return f"{text.rstrip()} {token} "
        if token in (",", ";"):
            return f"{text.rstrip()}{token} "
        if token == "&":
            return text.rstrip() + _COLUMN
        return self.join(text, token)

    def command(self, text, name):
        if name in SPACES:
            return text + SPACES[name]
        if name == "\\":
            return f"{text.rstrip()}; "
        if name in "{}%$#&_|":
            return self.join(text, {"|": "||"}.get(name, name))
        if name in ("left", "right", "bigl", "bigr", "Bigl", "Bigr", "big", "Big"):
            if self.peek() == ".":  # no bracket on this side
                self.next()
            return text
        if name == "frac" or name == "dfrac" or name == "tfrac":
            above, below = self.argument(), self.argument()
            return self.join(text, f"{_whole(above)}/{_whole(below)}{_FRACTION}")
        if name == "binom":
            return self.join(text, f"C({self.argument()}, {self.argument()})")
        if name == "sqrt":
            sign = "sqrt" if self.ascii else "√"
            inner = self.argument()
            if len(inner) > 1 or self.ascii:
                inner = f"({inner})"
            return self.join(text, sign + inner)
        if name in ACCENTS:
            return self.join(text, self.accent(name, self.argument()))
        if name in STYLES:
            return self.join(text, self.styled(name))
        if name in ("begin", "end"):
            return self.environment(text, name)
        if name in WORDS:
            return self.join(text, name)
        if name not in SIGNS:
            raise DataError(f"no plain text for \\{name}")
        sign = SIGNS[name][self.ascii]
        if name in SPACED:
            return f"{text.rstrip()} {sign.strip()} "
        return self.join(text, sign)

    def styled(self, name):
        at = self.at
        if self.peek() == "{" and "}" in self.tokens[at:]:
            end = self.tokens.index("}", at)
            inside = self.tokens[at + 1 : end]
            if not any(token[0] in "\\{_^" for token in inside):
                self.at = end + 1
                inner = "".join(inside)  # a word: its letters stay together
                if name == "mathbb" and not self.ascii:
                    return DOUBLE.get(inner, inner)
                return inner
        return self.argument()

    def accent(self, name, inner):
        if self.ascii or len(inner) != 1:
            return f"{name}({inner})"
        return inner + ACCENTS[name]

    def environment(self, text, name):
        kind = self.word()
        opening = {"cases": "{ ", "bmatrix": "[", "pmatrix": "(", "vmatrix": "|"}.get(kind, "")
        closing = {"cases": " }", "bmatrix": "]", "pmatrix": ")", "vmatrix": "|"}.get(kind, "")
        if name == "begin":
            if kind == "array":
                self.word()  # the alignment of columns
            return self.join(text, opening)
        return text.rstrip("; ") + closing

    def script(self, text, mark):
        """A subscript or superscript; limits of sums and products print as {i=1..n}."""
        text, inner = text.rstrip(_FRACTION), _tight(self.argument())
        if mark == "_" and re.search(r"(Σ|Π|∫|sum|prod|int)$", text) and self.peek() == "^":
            self.next()
            return f"{text}_{{{inner}..{_tight(self.argument())}}} "
        if inner == "'" or (mark == "^" and inner in ("*", "T")):
            return text + {"T": "^T"}.get(inner, inner)
        if len(inner) == 1 or re.fullmatch(r"\d+|[A-Za-z]+|[α-ω]", inner):
            return f"{text}{mark}{inner}"
        if mark == "^" and re.fullmatch(r"-[\w.]+", inner):
            return f"{text}^{inner}"
        return f"{text}{mark}{{{inner}}}"

    def join(self, text, piece):
        """Two pieces side by side: a space where names would run together, or before a word."""
        last, first = text[-1:], piece[:1]
        word = re.search(r"[A-Za-z]{2,}$", text) or re.match(r"[A-Za-z]{2,}", piece)
        if first in "∇∂" and first and last.isalnum():
            return f"{text} {piece}"
        letters = (last.isalnum() or last in ")]}'*") and first.isalnum()
        if letters and not text.endswith((" ", "(")):
            script = re.search(r"[_^][\w}]+$", text)
            if word or script or last in ")]}'*" or (last.isalpha() and first.isalpha()):
                return f"{text} {piece}"
            if last.isdigit() and first.isalpha():
                return f"{text} {piece}"
        if re.search(r"(Σ|Π|∫|sum|prod)(_\S*)?$", text) and (first.isalnum() or first in "([|"):
            return f"{text} {piece}"
        return text + piece


def _tight(text):
    """A script without spaces around its signs."""
    text = text.replace(_FRACTION, "").replace(", ", ",")
    return re.sub(r"\s*(<=|>=|!=|[-+=<>≤≥≠:|])\s*", r"\1", text)


def _whole(text):
    """A part of a fraction, in brackets if it is more than one factor."""
    text = text.replace(_FRACTION, "")
    if re.fullmatch(_FACTOR, text):
        return text
    return f"({text})"
