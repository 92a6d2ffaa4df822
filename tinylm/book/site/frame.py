"""What all pages have around them: head, search, contents at the side, the way on; and the contents
as a page of its own.

Everything that comes from the index or from source is escaped here or in section.py. Read next:
section.py.
"""

from dataclasses import dataclass
from html import escape

import tinylm
from tinylm.book import contents


@dataclass(frozen=True)
class Place:
    """Where a page stands in the book.

    file     "2.3.4.html"
    number   "2.3.4"
    title    of the section
    count    of the concepts on it
    """

    file: str
    number: str
    title: str
    count: int


def file_of(number: str) -> str:
    """The file of a section's page: 2.3.4.html, d2l-11.9.html."""
    return number.lower().replace(" ", "-") + ".html"


def page(
    title: str,
    body: str,
    places: list[Place],
    here: str = "",
    around: tuple[Place | None, Place | None] = (None, None),
) -> str:
    """A whole page.

    title   text
    body    HTML
    places  the pages of sections, in the order of the book
    here    the file of this page, if it is one of them
    around  the pages before and after it
    """
    before, after = around
    links = "".join(
        f'<link rel={rel} href="{place.file}">'
        for rel, place in (("prev", before), ("next", after))
        if place
    )
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="generator" content="tinylm {tinylm.__version__}">
<title>{escape(title)} &middot; tinylm</title>
<link rel="stylesheet" href="book.css">{links}
<script src="index.js" defer></script>
<script src="book.js" defer></script>
</head>
<body>
<a class="skip" href="#main">To the text</a>
<header class="top">
<a class="brand" href="index.html">tinylm<span> the book as running code</span></a>
<form class="search" role="search" hidden>
<input type="search" id="query" role="combobox" aria-expanded="false" aria-controls="hits"
 aria-autocomplete="list" aria-label="Search the book" autocomplete="off" spellcheck="false"
 placeholder="Search: GQA, eq 2.6, kv cache">
<div id="hits" role="listbox" aria-label="Found" hidden></div>
<p id="count" class="unseen" role="status"></p>
</form>
</header>
<div class="frame">
{_side(places, here)}
<main id="main" tabindex="-1">
{body}
{_turn(before, after)}
</main>
</div>
</body>
</html>
"""


def _side(places, here):
    """The contents at the side: all chapters, the sections of this one."""
    chapter = next((_chapter(place.number) for place in places if place.file == here), None)
    html = []
    for number in dict.fromkeys(_chapter(place.number) for place in places):
        inside = [place for place in places if _chapter(place.number) == number]
        name = f"<span class=no>{escape(number)}</span> {escape(contents.titles()[number])}"
        if number != chapter:
            html.append(f'<li class=chapter><a href="{inside[0].file}">{name}</a></li>')
            continue
        html.append(f"<li class=chapter><span>{name}</span><ol>")
        for place in _with_headings(inside):
            if not place.file:
                html.append(
                    f'<li class="depth1"><span><span class=no>{escape(place.number)}</span> '
                    f"{escape(place.title)}</span></li>"
                )
                continue
            current = ' aria-current="page"' if place.file == here else ""
            html.append(
                f'<li class="depth{place.number.count(".")}"><a href="{place.file}"{current}>'
                f"<span class=no>{escape(place.number)}</span> {escape(place.title)}</a></li>"
            )
        html.append("</ol></li>")
    home = '<li class=chapter><a href="index.html">Contents</a></li>'
    return f'<nav class="side" aria-label="Book"><ol>{home}{"".join(html)}</ol></nav>'


def _with_headings(inside):
    """Places with the sections above them that have no page: 2.2 before 2.2.1."""
    found, seen = [], set()
    for place in inside:
        for number in contents.path(place.number)[1:-1]:
            if number not in seen and all(other.number != number for other in inside):
                found.append(Place("", number, contents.titles()[number], 0))
            seen.add(number)
        found.append(place)
    return found


def _turn(before, after):
    """Links to the pages before and after."""
    parts = []
    for place, rel, words in ((before, "prev", "Before"), (after, "next", "Next")):
        if place:
            parts.append(
                f'<a rel={rel} href="{place.file}"><small>{words}</small> '
                f"<span class=no>{escape(place.number)}</span> {escape(place.title)}</a>"
            )
    if not parts:
        return ""
    return f'<nav class="turn" aria-label="Pages before and after">{"".join(parts)}</nav>'


def _chapter(number):
    return number.split(".")[0]


def contents_page(rows: list, places: list[Place], lead: str, remarks: list[str]) -> str:
    """The first page: chapters and sections with how much of each is built.

    rows     of the index that have a page
    places   of the sections
    lead     what is here, in a sentence or two
    remarks  sentences about the whole: recorded results, or why there are none
    """
    known = {place.number: place for place in places}
    sections = contents.sections(rows)
    html = [
        "<h1>Foundations of Large Language Models, as running code</h1>",
        f"<p class=lead>{escape(lead)}</p>",
        *(f"<p class=note>{escape(remark)}</p>" for remark in remarks),
        '<nav class="toc" aria-label="Contents">',
    ]
    for part in sections:
        inside = [s for s in sections if contents.within(s.number, part.number)]
        built = sum(len(s.rows) for s in inside)
        if not built or part.depth > 2:
            continue
        if part.depth == 0:
            html.append(
                f'<h2 id="{file_of(part.number)[:-5]}"><span class=no>{escape(part.number)}</span> '
                f"{escape(part.title)}</h2>"
            )
            if part.number not in known:
                continue
        html.append(_toc_line(part, inside, built, known.get(part.number)))
    return "\n".join([*html, "</nav>"])


def _toc_line(part, inside, built, place):
    total = built + sum(len(s.mentions) for s in inside)
    name = escape(part.title)
    if place:
        name = f'<a href="{place.file}">{name}</a>'
    title = f"{built} of the {total} concepts that the book names here are built"
    return (
        f'<p class="depth{part.depth}"><span class=no>{escape(part.number)}</span>'
        f'<span class=name>{name}</span><span class=count title="{title}">'
        f"{built}<span class=unseen> of {total} concepts</span></span></p>"
    )
