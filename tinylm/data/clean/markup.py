"""The text of a web page: the part that a browser would show, in time linear in its length.

Tags are found by the rules of the HTML standard (WHATWG, section 13.2.5), as far as they decide
what is text; like there, no page is an error. Read next: cleaning.py.
"""

import html
from collections import Counter

import regex

_BLOCKS = frozenset(
    (
        "address article aside blockquote body br dd div dl dt footer form h1 h2 h3 h4 h5 h6 head "
        "header hr html li main nav ol p pre section table td th title tr ul"
    ).split()
)
# Elements whose whole content is dropped.
_UNREAD = frozenset(
    ("script style noscript template svg nav footer form button select option head iframe").split()
)
# A text without any of these is not taken for HTML.
_MARKUP = regex.compile(
    r"(?i)</(?:html|body|div|p|span|a|li|ul|table|tr|td|h[1-6]|script|style|b|i|em|strong)\s*>"
    r"|<br\s*/?>"
)
_TAG = regex.compile(r"<(/?)([A-Za-z][^\s/>\0]*)")
_COMMENT_END = regex.compile(r"--!?>")
# Inside these elements only their own end tag is markup.
_RAW_END = {tag: regex.compile(rf"(?i)</{tag}(?=[\s/>])") for tag in ("script", "style")}
# The rest of a tag: a ">" inside a quoted value does not end it. A quote opens a value only after
# "=". Possessive (*+, ?+), so that matching never backtracks.
_IN_TAG = regex.compile(r"[^=>]*+(?:=\s*+(?:\"[^\"]*+\"|'[^']*+')?+[^=>]*+)*+>")
# In <a href=x/> the stroke belongs to the address. Looked for in the last _LAST characters only.
_IN_VALUE = regex.compile(r"=\s*[^\s\"'=>]+/>\Z")
_LAST = 200
# No character has a number of eight digits, and Python converts no number of thousands of them.
_NO_CHARACTER = regex.compile(r"&#(?:0*+[1-9][0-9]{7,}+|[xX]0*+[1-9A-Fa-f][0-9A-Fa-f]{7,}+);?")
_SPACES = regex.compile(r"[^\S\n]+")
_BLANK_LINES = regex.compile(r"\n{3,}")


def without_markup(text: str) -> str:
    """The text of an HTML page without tags, scripts, menus and forms.

    A text that closes no HTML element is returned unchanged. Not to be applied twice to text about
    HTML: escaped markup (&lt;b&gt;) is unescaped, and a second call would remove it.
    """
    if not _MARKUP.search(text):
        return text
    page = _Page()
    for kind, value in _pieces(text):
        page.add(kind, value)
    lines = (_SPACES.sub(" ", line).strip() for line in "".join(page.parts).split("\n"))
    return _BLANK_LINES.sub("\n\n", "\n".join(lines)).strip("\n")


class _Page:
    """Collects the text that is shown in `parts`."""

    def __init__(self):
        self.parts = []
        self.unread = []  # the open elements whose content is dropped, outermost first
        self.depth = Counter()  # how often each is in `unread`

    def add(self, kind, value):
        """One piece of a page: ("text", characters), ("start", tag) or ("end", tag)."""
        if kind == "text":
            if not self.unread:
                self.parts.append(html.unescape(_NO_CHARACTER.sub("\ufffd", value)))
        elif value not in _UNREAD:
            if value in _BLOCKS:
                self.parts.append("\n")
        elif kind == "start":
            self.unread.append(value)
            self.depth[value] += 1
        elif self.depth[value]:  # close it, and with it all that was left open inside
            while (closed := self.unread.pop()) != value:
                self.depth[closed] -= 1
            self.depth[value] -= 1


def _pieces(text):
    """The pieces of a page in order: ("text", characters), ("start", tag), ("end", tag)."""
    last, quotes, at = text.rfind(">"), True, 0
    while at < len(text):
        mark = text.find("<", at)
        if mark < 0 or mark > last:  # without a ">" no tag ends: the rest is text
            break
        yield "text", text[at:mark]
        at = mark
        if text.startswith("<!--", mark):
            end = _COMMENT_END.search(text, mark + 2)  # "<!-->" is a whole comment
            if end is None:
                return
            at = end.end()
        elif text.startswith(("<!", "<?"), mark):
            at = text.find(">", mark) + 1
        elif (tag := _TAG.match(text, mark)) is None:
            yield "text", "<"
            at = mark + 1
        else:
            end = None
            if quotes:
                end = _IN_TAG.match(text, tag.end())
            # After a quote without its end, which would hide every ">" of the page, quotes no
            # longer count; trying each again would take quadratic time.
            quotes = end is not None
            at = end.end() if quotes else text.find(">", mark) + 1
            name, end_of_tag = tag[2].lower(), text[max(mark, at - _LAST) : at]
            closes = end_of_tag.endswith("/>") and not _IN_VALUE.search(end_of_tag)
            if tag[1]:
                yield "end", name
                continue
            yield "start", name
            if closes:  # <svg/>
                yield "end", name
            elif name in _RAW_END:
                end = _RAW_END[name].search(text, at)
                if end is None:
                    return
                at = end.start()
    yield "text", text[at:]
