"""A page out of figures: one HTML file that works from disk, without a network.

Style and scripts stand in the page, those of web/; data stand in it as JSON, which no browser runs.
A content security policy names the hash of each script and of the style and forbids everything
else, so that neither a text of the data nor a slip of ours can run code or send anything. Scripts
find their data by the id of their figure, so two figures of one kind do not meet. Read next:
web/page.js.
"""

import base64
import hashlib
import html
import inspect
import re
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

import tinylm
from tinylm.errors import ConfigError
from tinylm.explore.values import encoded

WEB = Path(__file__).parent / "web"
PART = "about-the-library"  # the anchor of figures that show no run
RUNTIME = ("page.js", "tools.js", "charts.js")  # in every page, before the scripts of its kinds


@dataclass
class Figure:
    """One figure of a page.

    kind   its script is web/KIND.js, and its style, if it has one of its own, web/KIND.css
    title  a few words
    text   one or two sentences: what one sees, the book's section, `file:line` of the code that
           made it (source_of); what stands between backticks is set as code
    data   what the script draws: a dict as of values.encoded()
    id     the anchor in the page; KIND-1, KIND-2, ... unless given
    """

    kind: str
    title: str
    text: str
    data: dict
    id: str = ""


def page(
    title: str,
    figures: list[Figure],
    intro: str = "",
    form: str = "",
    library: Collection[str] = (),
) -> str:
    """The whole page.

    title    above the figures and in the window's frame
    intro    a sentence below it; backticks as in Figure.text
    form     HTML of a form, for pages that are served; without one nothing can be sent
    library  kinds that show the library itself: they stand last, below a heading of their own if
             others come before them
    returns  HTML, to be written as UTF-8
    raises   ConfigError for a kind without a script, or two figures of one id
    """
    figures = sorted(figures, key=lambda figure: figure.kind in library)  # stable
    kinds = list(dict.fromkeys(figure.kind for figure in figures))
    style = _web("page.css") + "".join(
        _web(f"{kind}.css") for kind in kinds if (WEB / f"{kind}.css").is_file()
    )
    scripts = [_web(name) for name in RUNTIME] + [_script(kind) for kind in kinds]
    policy = policy_of(scripts, style, "'self'" if form else "'none'")
    own = sum(figure.kind not in library for figure in figures)
    body, contents = [], ""
    for i, (figure, name) in enumerate(zip(figures, _names(figures))):
        if i == own and own:
            body.append(f'<h2 class="part" id="{PART}">About the library</h2>')
            contents += f'<li class="part"><a href="#{PART}">About the library</a></li>'
        body.append(_section(figure, name))
        contents += f'<li><a href="#{name}">{html.escape(figure.title)}</a></li>'
    contents = f'<nav aria-label="Figures"><ol>{contents}</ol></nav>' if len(figures) > 1 else ""
    text = "\n".join(
        [
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{html.escape(policy)}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta name="color-scheme" content="light dark">',
            # A form names the page that it stands in to its own server; nobody else is told.
            f'<meta name="referrer" content="{"same-origin" if form else "no-referrer"}">',
            f"<title>{html.escape(title)}</title>",
            f"<style>{style}</style>\n</head>\n<body>",
            f'<header><h1><bdi dir="auto">{html.escape(title)}</bdi></h1>',
            f"<p>{_prose(intro)}</p>{form}{contents}</header>\n<main>",
            *body,
            "</main>",
            f"<footer><p>Made by tinylm {tinylm.__version__}. Every number was computed by the "
            "library on this machine; nothing is loaded and nothing is sent.</p></footer>",
            "<noscript><p>The figures are drawn by scripts that stand in this page. "
            "Switch scripts on to see them.</p></noscript>",
            *(f"<script>{script}</script>" for script in scripts),
            "</body>\n</html>\n",
        ]
    )
    # Halves of characters have no place in UTF-8: they are shown as U+FFFD.
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def policy_of(scripts: list[str], style: str, forms: str = "'none'") -> str:
    """The content security policy of a page with these scripts and this style, and no others."""
    hashes = " ".join(_hash(script) for script in scripts)
    return (
        f"default-src 'none'; script-src {hashes}; style-src {_hash(style)}; "
        f"base-uri 'none'; form-action {forms}"
    )


def source_of(thing: Callable) -> str:
    """`tinylm/page.py:12`: where a function or class begins, for Figure.text."""
    thing = inspect.unwrap(thing)
    path = Path(inspect.getsourcefile(thing)).resolve()
    line = inspect.getsourcelines(thing)[1]
    return f"{relative(path)}:{line}"


def relative(path: Path) -> str:
    """A file of the package as the reader finds it, tinylm/...; another by its name."""
    above = Path(tinylm.__file__).resolve().parent.parent
    if path.is_relative_to(above):
        return path.relative_to(above).as_posix()
    return path.name


def _hash(text):
    digest = hashlib.sha256(text.encode("utf-8")).digest()
    return f"'sha256-{base64.b64encode(digest).decode('ascii')}'"


def _web(name):
    """A file of web/. What stands in <script> must not end the element."""
    text = (WEB / name).read_text(encoding="utf-8")
    if "</" in text or "<!--" in text:
        raise ConfigError(f"web/{name} holds </ or <!--, which ends an element of the page")
    return text


def _script(kind):
    if not re.fullmatch("[a-z_]+", kind) or not (WEB / f"{kind}.js").is_file():
        raise ConfigError(f"no script draws a figure of kind {kind!r}: web/{kind}.js is missing")
    return _web(f"{kind}.js")


def _names(figures):
    """The ids of figures: their own, else KIND-1, KIND-2, ..."""
    counted, names = Counter(), []
    for figure in figures:
        counted[figure.kind] += 1
        names.append(figure.id or f"{figure.kind}-{counted[figure.kind]}")
    for name, count in Counter(names).items():
        if count > 1:
            raise ConfigError(f"two figures have the id {name!r}: give them different ones")
        if not re.fullmatch("[A-Za-z][A-Za-z0-9_-]*", name):
            raise ConfigError(f"{name!r} is no id: use letters, digits, - and _, a letter first")
    return names


def _section(figure, name):
    """One figure: heading, text, the place where its script draws, and its data."""
    return "\n".join(
        [
            f'<section class="figure" id="{name}" data-kind="{figure.kind}" '
            f'aria-labelledby="{name}-title" aria-describedby="{name}-text">',
            f'<h2 id="{name}-title">{html.escape(figure.title)}</h2>',
            f'<p id="{name}-text" class="text">{_prose(figure.text)}</p>',
            '<div class="stage"></div>',
            f'<script type="application/json" id="{name}-data">{encoded(figure.data)}</script>',
            "</section>",
        ]
    )


def _prose(text):
    """Text as HTML: escaped, and `this` as code."""
    return re.sub("`([^`]+)`", r'<code><bdi dir="auto">\1</bdi></code>', html.escape(text))
