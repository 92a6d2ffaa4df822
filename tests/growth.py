"""How the time of a function of texts grows: what a rule must not do is take its square.

Times of one machine are compared with each other, never with a clock: four times the text may take
up to eight times as long (linear: four, squared: sixteen), and what is too quick to measure passes.
"""

import gc
import time

QUICK = 0.004  # seconds: below this a ratio would be noise
RATIO = 8  # between 4 and 16, in the middle as a factor
ROUNDS = 3  # of measuring again what seems to grow

# One character class each, and the beginnings of things that never end.
RUNS = (
    "\t",
    " ",
    "\n",
    " \n",
    "\u00a0",
    "a",
    "A",
    "1",
    ".",
    "-",
    ",",
    "'",
    '"',
    "(",
    "[",
    "{",
    "<",
    "&",
    "@",
    "#",
    "_",
    "/",
    ":",
    "$",
    "|",
    "…",
    "\u0301",
    "\u0301\u0323",
    "e\u0301",
    "\u200b",
    "中",
    "。",
    "ก",
    "あ",
    "각",
    "\U0001f600",
    "\0",
    "\ud800",
)
MARKUP = (
    "<a ",
    "<p",
    "</",
    "<!",
    "<!--",
    "<![",
    "<?",
    "<script",
    "</script",
    "<script>",
    "<nav>",
    "</nav>",
    "<a b=",
    "<a b='",
    '<a b="',
    '<a ">"',
    "&amp;",
    "&#",
    "&a",
    "]]>",
    "-->",
    "{{",
    "{%",
    "<|im_start|>",
)
PHRASES = (
    "a@",
    "a.",
    "a-",
    "1.",
    "1-",
    "1 ",
    "+1 ",
    "1:",
    "::",
    "(1) ",
    "AA11 ",
    "555 1234.",
    "1.2.3.4 ",
    "http://",
    "//",
    "[1]",
    "[edit",
    "word ",
    "word. ",
    "word\n",
    "- ",
    "• ",
    "...",
    "\\frac{",
    "\\boxed{",
    "answer is ",
)


def text_of(run, size, before="", after=""):
    """`run` again and again up to `size` characters, with a beginning and an end."""
    return before + run * (size // len(run)) + after


def _seconds(function, text):
    """Processor seconds of one call, the collector of cycles at rest (as `timeit` does).

    A long text makes enough objects to start a full collection, and that takes as long as the
    whole test process is large: time that says nothing about the function.
    """
    collecting = gc.isenabled()
    gc.collect(0)
    gc.disable()
    try:
        start = time.process_time()
        function(text)
        return time.process_time() - start
    finally:
        if collecting:
            gc.enable()


def grows(function, run, size=2000, before="", after=""):
    """The ratio of the times for four times `size` characters and for `size`; None: no growth.

    A ratio above RATIO is measured again, both lengths in turn and the best of five of each, up to
    ROUNDS times: another process may have had the machine, and what is squared stays squared.
    """
    small, large = text_of(run, size, before, after), text_of(run, 4 * size, before, after)
    slow = _seconds(function, large)
    if slow < QUICK or slow / _seconds(function, small) <= RATIO:
        return None
    for _ in range(ROUNDS):
        pairs = [(_seconds(function, small), _seconds(function, large)) for _ in range(5)]
        quick, slow = map(min, zip(*pairs, strict=True))
        if slow / quick <= RATIO:
            return None
    return slow / quick


def superlinear(function, runs, size=2000, befores=("",), afters=("", "x")):
    """[(run, before, after, ratio)] of the texts that take `function` more than linear time."""
    found = [
        (run, before, after, grows(function, run, size, before, after))
        for run in runs
        for before in befores
        for after in afters
    ]
    return [row for row in found if row[-1] is not None]
