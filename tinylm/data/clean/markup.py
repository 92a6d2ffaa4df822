"""The text of a web page: what a browser would show of it, in time linear in its length.

Tags are found by the rules of the HTML standard (WHATWG, section 13.2.5), as far as they decide
what is text; no page is malformed, and each character is passed once. Read next: cleaning.py.
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
# Elements that are no reading matter, with what stands inside them.
_UNREAD = frozenset(
    ("script style noscript template svg nav footer form button select option head iframe").split()
)
_MARKUP = regex.compile(
    r"(?i)</(?:html|body|div|p|span|a|li|ul|table|tr|td|h[1-6]|script|style|b|i|em|strong)\s*>"
    r"|<br\s*/?>"
)
_TAG = regex.compile(r"<(/?)([A-Za-z][^\s/>\0]*)")
_COMMENT_END = regex.compile(r"--!?>")
# Inside these, markup is no markup up to their own end tag.
_RAW_END = {tag: regex.compile(rf"(?i)</{tag}(?=[\s/>])") for tag in ("script", "style")}
# The value of an attribute: a quote after "=" hides a ">"; elsewhere a quote is like any letter.
_IN_TAG = regex.compile(r"[^=>]*+(?:=\s*+(?:\"[^\"]*+\"|'[^']*+')?+[^=>]*+)*+>")
# In <a href=x/> the stroke belongs to the address; the last characters of a tag tell it.
_IN_VALUE = regex.compile(r"=\s*[^\s\"'=>]+/>\Z")
_LAST = 200
# No character has a number of eight digits, and Python converts no number of thousands of them.
_NO_CHARACTER = regex.compile(r"&#(?:0*+[1-9][0-9]{7,}+|[xX]0*+[1-9A-Fa-f][0-9A-Fa-f]{7,}+);?")
_SPACES = regex.compile(r"[^\S\n]+")
_BLANK_LINES = regex.compile(r"\n{3,}")


def without_markup(text):
    """The text of an HTML page: no tags, scripts, menus or forms. Text that closes no HTML element
    is left as it is.

    Not for text that speaks about HTML: markup that a page shows escaped is markup to a second
    call.
    """
    if not _MARKUP.search(text):
        return text
    page = _Page()
    for kind, value in _pieces(text):
        page.add(kind, value)
    lines = (_SPACES.sub(" ", line).strip() for line in "".join(page.parts).split("\n"))
    return _BLANK_LINES.sub("\n\n", "\n".join(lines)).strip("\n")


class _Page:
    """What is shown, block by block: `parts`."""

    def __init__(self):
        self.parts, self.unread, self.depth = [], [], Counter()

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
        elif self.depth[value]:  # and whatever was left open inside
            while (closed := self.unread.pop()) != value:
                self.depth[closed] -= 1
            self.depth[value] -= 1


def _pieces(text):
    """The pieces of a page in order: ("text", characters), ("start", tag), ("end", tag)."""
    last, quotes, at = text.rfind(">"), True, 0
    while at < len(text):
        mark = text.find("<", at)
        if mark < 0 or mark > last:  # no tag ends any more
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
            end = _IN_TAG.match(text, tag.end()) if quotes else None
            # A quote that hides all ">" up to the end: from here on even a quoted ">" ends a tag.
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
