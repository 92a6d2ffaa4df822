"""A page of the book: the concepts of a section, each with formula, code, checks and scripts; and
the page of a script.

Read first: facts.py, what there is to a concept; frame.py, what stands around.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

from tinylm.book import contents, source
from tinylm.book.facts import Facts, Piece
from tinylm.book.results import Results
from tinylm.book.site import listing, mathml

OPEN = 60  # a first listing of so many lines is open when the page is


@dataclass
class Maker:
    """What the pages of a site share, and what they leave for the build.

    root     the repository, or None
    results  recorded ones
    convert  LaTeX to MathML
    scripts  script -> ids of the concepts that name it, as pages come
    figures  pictures that pages show: path -> file in the site
    """

    root: Path | None
    results: Results
    convert: Callable
    scripts: dict = field(default_factory=dict)
    figures: dict = field(default_factory=dict)


def section_page(maker: Maker, parts: list, known: dict[str, Facts]) -> str:
    """The text of a section's page as HTML.

    parts  of contents.Section: the section itself first, then its subsections
    known  id -> Facts of its rows
    """
    section, rows = parts[0], [row for part in parts for row in part.rows]
    way = " &rsaquo; ".join(
        f"{escape(n)} {escape(contents.titles()[n])}" for n in contents.path(section.number)[:-1]
    )
    html = [
        f"<p class=way>{way}</p>" if way else "",
        f"<h1><span class=no>{escape(section.number)}</span> {escape(section.title)}</h1>",
        _on_this_page([known[row.id] for row in rows]),
    ]
    shown = {}  # symbol -> id of the concept that shows its code
    for part in parts:
        if part is not section and part.rows:
            html.append(
                f"<h2 class=part><span class=no>{escape(part.number)}</span> "
                f"{escape(part.title)}</h2>"
            )
        html += [concept(maker, known[row.id], shown) for row in part.rows]
    mentions = [mention for part in parts for mention in part.mentions]
    if mentions:
        items = "".join(f"<li>{escape(m.concept)}</li>" for m in mentions)
        html.append(
            "<section class=mentions><h2>Only named in the book</h2><p>Not built here:</p>"
            f"<ul>{items}</ul></section>"
        )
    return "\n".join(html)


def _on_this_page(facts):
    items = "".join(f'<li><a href="#{f.row.id}">{escape(f.head)}</a></li>' for f in facts)
    return f'<nav class=local aria-label="On this page"><ul>{items}</ul></nav>'


def concept(maker: Maker, facts: Facts, shown: dict[str, str]) -> str:
    """One concept as an article whose anchor is its id.

    shown  symbol -> id of the concept that shows its code on this page, extended here
    """
    row = facts.row
    where = row.section.partition(",")[2].strip()
    meta = f"<span class=id>{escape(row.id)}</span>"
    if where:
        meta += f" &middot; {escape(where)}"
    html = [
        f'<article id="{row.id}">',
        f'<h2 class=concept><a href="#{row.id}">{escape(facts.head)}</a></h2>',
        f"<p class=meta>{meta}</p>",
        f"<p class=idea>{inline(facts.rest)}</p>" if facts.rest else "",
        *(mathml.block(formula, maker.convert) for formula in facts.formulas),
    ]
    for i, piece in enumerate(facts.pieces):
        html.append(_piece(piece, i == 0, row.id, shown))
    html += [_checks(maker, facts), _shows(maker, facts), "</article>"]
    return "\n".join(part for part in html if part)


def _piece(piece: Piece, first, id, shown):
    """A symbol: its name, its place, its idea, its code."""
    if piece.error:
        return f"<p class=piece><code>{escape(piece.symbol)}</code>: {escape(piece.error)}</p>"
    place = _place(piece.path, piece.line)
    head = f"<b><code>{escape(piece.name)}</code></b> <span class=path>{escape(place)}</span>"
    doc = f"<br><span class=doc>{inline(piece.idea)}</span>" if piece.idea else ""
    if piece.symbol in shown:
        other = shown[piece.symbol]
        return f'<p class=piece>{head}{doc}<br>Code: above, at <a href="#{other}">{other}</a></p>'
    shown[piece.symbol] = id
    code = source.code(piece.symbol)
    count = code.text.count("\n") + 1
    lines = "1 line" if count == 1 else f"{count} lines"
    state = ""
    if first and count <= OPEN:  # the listing itself begins with what the code is
        state, doc = " open", doc if '"""' not in code.text else ""
    text = listing.block(code.text, code.line, f"{piece.name}, {place}")
    return (
        f"<div class=piece><p>{head}{doc}</p><details class=code{state}>"
        f"<summary>Code, {lines}</summary>{text}</details></div>"
    )


def _place(path, line):
    """tinylm/nn/norm.py:12, wherever the package lies."""
    parts = Path(path).parts
    start = len(parts) - 1 - parts[::-1].index("tinylm") if "tinylm" in parts else len(parts) - 1
    return f"{'/'.join(parts[start:])}:{line}"


def _checks(maker, facts):
    """The gradient checks and the tests of a concept, with their recorded results."""
    if not (facts.gradients or facts.tests):
        return ""
    html = ["<div class=proof><h3>Checks</h3><ul>"]
    if facts.gradients:
        command = f"tinylm gradcheck {' '.join(facts.gradients)}"
        items = "".join(
            f"<li>{escape(name)}{_result(maker.results.gradients[name])}</li>"
            for name in facts.gradients
            if name in maker.results.gradients
        )
        html.append(
            f"<li>Derivatives against finite differences: <code>{escape(command)}</code>"
            f"{f'<ul>{items}</ul>' if items else ''}</li>"
        )
    by_file = {}
    for test in facts.tests:
        by_file.setdefault(test.partition("::")[0], []).append(test)
    for path, tests in by_file.items():
        items = "".join(
            f'<li title="{escape(test)}">{escape(sentence(test) or "all of it")}'
            f"{_result(maker.results.tests.get(test.partition('[')[0]))}</li>"
            for test in tests
        )
        html.append(f"<li><span class=path>pytest {escape(path)}</span><ul>{items}</ul></li>")
    return "".join([*html, "</ul></div>"])


def inline(text: str) -> str:
    """A text as HTML, what stands between backticks as code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))


def sentence(test: str) -> str:
    """The name of a test as words: "softmax sums to one" of TestA::test_softmax_sums_to_one[x]."""
    name = re.sub(r"\[.*", "", test).partition("::")[2].rpartition("::")[2]
    return name.removeprefix("test_").replace("_", " ")


def _result(result):
    """The recorded result of a check; nothing where none was recorded."""
    if result is None:
        return ""
    return (
        f' <span class="result {result.outcome}">{result.outcome}</span> '
        f"<small>{escape(result.detail)}, {result.date}</small>"
    )


def _shows(maker, facts):
    """The scripts and commands that show a concept."""
    if not facts.shows:
        return ""
    html = ["<div class=show><h3>At work</h3><ul>"]
    for show in facts.shows:
        command = f"<code>{escape(show.command)}</code>"
        if not (maker.root and show.script):
            html.append(f"<li>{command}</li>")
            continue
        ids = maker.scripts.setdefault(show.script, [])
        if facts.row.id not in ids:
            ids.append(facts.row.id)
        verdict = ""
        if show.verdict:
            verdict = f"<br>Claim: {escape(show.verdict.claim)}"
            verdict += f"<br>Verdict: {escape(show.verdict.verdict)}"
        link = f'<a href="{script_file(show.script)}">header and measured output</a>'
        html.append(f"<li>{command}, {link}{verdict}{figures(maker, show.pictures)}</li>")
    return "".join([*html, "</ul></div>"])


def figures(maker: Maker, pictures: tuple) -> str:
    """Pictures beside a script, which the build copies into the site."""
    html = ""
    for path in pictures:
        file = maker.figures.setdefault(path, f"figure-{path.parent.name}-{path.name}")
        words = path.stem.replace("_", " ")
        html += (
            f'<figure><img src="{escape(file)}" alt="{escape(words)}" loading=lazy>'
            f"<figcaption>{escape(words)}</figcaption></figure>"
        )
    return html


def script_file(script: str) -> str:
    """The page of a script: script-2_3_long_sequences-caches.html."""
    name = script.removeprefix("scripts/").removesuffix(".py").replace("/", "-")
    return f"script-{name}.html"


def script_page(maker: Maker, script: str, header: str, show: Any, concepts: list[tuple]) -> str:
    """The page of a script: claim, verdict, its header with the measured output, its concepts.

    concepts  (file of the page, Facts) of each concept that it shows
    """
    html = [f"<p class=way>Script</p><h1><code>{escape(script)}</code></h1>"]
    if show.verdict:
        html.append(
            f"<dl><dt>Claim</dt><dd>{escape(show.verdict.claim)}</dd>"
            f"<dt>Verdict</dt><dd>{escape(show.verdict.verdict)}</dd>"
            f"<dt>Takes</dt><dd>{escape(show.verdict.minutes)} minutes</dd></dl>"
        )
    html.append(f"<p>Run it: <code>{escape(show.command)}</code></p>")
    if show.draws:
        html.append(f"<p>Draw it: <code>{escape(show.command)} --plot FILE</code></p>")
    html.append(figures(maker, show.pictures))
    html.append(f"<pre tabindex=0 role=region aria-label=header>{escape(header)}</pre>")
    items = "".join(
        f'<li><a href="{file}#{facts.row.id}">{escape(facts.head)}</a> '
        f"<span class=no>{escape(facts.row.section)}</span></li>"
        for file, facts in concepts
    )
    html.append(f"<h2>What it shows</h2><ul>{items}</ul>")
    return "\n".join(html)
