"""From what was collected to what is trained on: steps in a row, each counted.

Most of what is collected goes (book section 2.2.1: of web pages up to 90 %, Penedo et al. 2023), so
the question is always which step took what. A step is a *rule* (text -> keep it?) or a *change*
(text -> text); pure rules may stand in any order, rules with a memory (duplicates) see what is left
before them. Documents pass one by one: memory is that of one document and of the steps. Read first:
cleaning.py, quality.py, dedup.py, privacy.py.
"""

import itertools
import shlex
from collections.abc import Callable
from dataclasses import dataclass, field

from tinylm.data.clean import cleaning, code
from tinylm.data.clean.contamination import Contamination
from tinylm.data.clean.dedup import ExactDuplicates, NearDuplicates
from tinylm.data.clean.language_id import LanguageId
from tinylm.data.clean.ngram import CharNGram, cheap_enough, threshold
from tinylm.data.clean.privacy import Masker
from tinylm.data.clean.quality import gopher_quality, word_count
from tinylm.data.clean.repetition import gopher_repetition
from tinylm.data.clean.toxicity import WordList
from tinylm.errors import ConfigError


@dataclass
class Step:
    """One step, and what it has done so far.

    name      what the report calls it
    rule      function text -> True to keep it; or None
    change    function text -> text; or None. A text of which nothing is left is dropped
    seen, dropped, changed  documents that came in, that went, that are another text now
    bytes_in, bytes_out     UTF-8 bytes that came in and went on
    examples  the beginnings of the first documents dropped, or (before, after) of those changed
    """

    name: str
    rule: Callable | None = None
    change: Callable | None = None
    seen: int = 0
    dropped: int = 0
    changed: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    examples: list = field(default_factory=list)

    def __call__(self, text, show=0):
        """The text as it goes on, or None if it goes no further. `show` examples are kept."""
        self.seen += 1
        self.bytes_in += _size(text)
        after = text if self.change is None else self.change(text)
        if not after.strip() or self.rule is not None and not self.rule(after):
            self.dropped += 1
            if len(self.examples) < show:
                self.examples.append((text, ""))
            return None
        if after != text:
            self.changed += 1
            if len(self.examples) < show:
                self.examples.append((text, after))
        self.bytes_out += _size(after)
        return after


def _size(text):
    return len(text.encode("utf-8", "surrogatepass"))


class Pipeline:
    """Steps in a row: `for text in Pipeline(steps)(documents)`; `report()` says what each did.

    steps   iterable of Step
    show    examples to keep for each step
    raises  ConfigError for two steps of one name, or a step that is neither rule nor change
    """

    def __init__(self, steps, show=0):
        self.steps, self.show = list(steps), show
        names = [step.name for step in self.steps]
        for step in self.steps:
            if names.count(step.name) > 1 or step.rule is None and step.change is None:
                raise ConfigError(
                    f"pipeline: step {step.name!r} stands twice, or is neither a rule nor a change"
                )
        self.seen = self.kept = self.bytes_in = self.bytes_out = 0

    def __call__(self, documents):
        """Yield the documents that pass, as they are after all changes."""
        for text in documents:
            self.seen += 1
            self.bytes_in += _size(text)
            for step in self.steps:
                text = step(text, self.show)
                if text is None:
                    break
            else:
                self.kept += 1
                self.bytes_out += _size(text)
                yield text

    def report(self):
        """What each step did, as lines of a table: documents in, dropped and changed, and the part
        of all bytes left.
        """
        width = max([len(step.name) for step in self.steps] + [9])
        lines = [
            f"{'step':<{width}} {'in':>9} {'dropped':>9} {'of these':>9} {'changed':>9} {'bytes left':>12} {'of all':>7}"
        ]
        for step in self.steps:
            lines.append(
                f"{step.name:<{width}} {step.seen:>9,} {step.dropped:>9,} {_part(step.dropped, step.seen):>9} "
                f"{step.changed:>9,} {step.bytes_out:>12,} {_part(step.bytes_out, self.bytes_in):>7}"
            )
        return [
            *lines,
            "",
            f"kept {self.kept:,} of {self.seen:,} documents ({_part(self.kept, self.seen)}), "
            f"{self.bytes_out:,} of {self.bytes_in:,} bytes ({_part(self.bytes_out, self.bytes_in)})",
        ]

    def losses(self):
        """The steps that took most, if more than half went, as lines that name the way around each.

        returns  list of str, empty if half of the documents and of the bytes are left
        """
        if 2 * self.kept >= self.seen and 2 * self.bytes_out >= self.bytes_in:
            return []
        guilty = [step for step in self.steps if step.dropped or step.bytes_out < step.bytes_in]
        guilty.sort(key=lambda step: (step.dropped, step.bytes_in - step.bytes_out), reverse=True)
        lines = ["more than half went; a rule is left out with --without NAME:"]
        for step in guilty[:8]:
            lines.append(
                f"  --without {shlex.quote(step.name):<22} it dropped {step.dropped:,} of "
                f"{step.seen:,} documents, and {step.bytes_in - step.bytes_out:,} bytes"
            )
        return lines


def _part(a, b):
    if b:
        return f"{100 * a / b:.1f} %"
    return "-"


def standard_steps(
    languages=("en",),
    min_words=50,
    similarity=0.8,
    toxic_words=None,
    toxic_most=0.01,
    names=(),
    reference=None,
    held_out=None,
    without=(),
):
    """The usual steps in the usual order, with the thresholds of their papers.

    languages    that are kept; Gopher's rule on stop words is applied to English alone. Empty: all
    min_words    of a document (Gopher: 50)
    similarity   Jaccard similarity from which on a document is a near copy
    toxic_words  list of str; by default a few examples
    toxic_most   part of the words of a document that may be among them
    names        of people, to be masked
    reference    texts known to be good: what costs a model of them more than 95 % of themselves do
                 goes. A part of them is kept apart to find that cost
    held_out     texts of the test set, which must not be trained on
    without      names of steps to leave out
    returns      list of Step
    raises       ConfigError for a name in `without` that is no step
    """
    steps = [
        Step("characters", change=cleaning.normalized),
        Step("markup", change=cleaning.without_markup),
        Step("citations", change=cleaning.without_citations),
        Step("sentence lines", change=cleaning.sentence_lines),
        Step("placeholder", cleaning.no_placeholder),
        Step("code", cleaning.no_code),
        Step("sentences", cleaning.at_least_sentences()),
    ]
    if languages:
        steps.append(Step("language", LanguageId().keeps(*languages)))
    quality = gopher_quality(min_words)
    if tuple(languages) != ("en",):
        del quality["stop words"]
    steps += [Step(name, rule) for name, rule in {**quality, **gopher_repetition()}.items()]
    if reference is not None:
        steps.append(Step("reference", _like(list(reference))))
    words = WordList() if toxic_words is None else WordList(toxic_words)
    steps += [
        Step("toxic words", words.clean(toxic_most)),
        Step("exact copies", ExactDuplicates()),
        Step("near copies", NearDuplicates(similarity)),
    ]
    if held_out is not None:
        steps.append(Step("test set", Contamination(held_out)))
    steps.append(Step("personal data", change=Masker(names=names)))
    return _leaving_out(steps, without, ("language", "stop words", "reference", "test set"))


def code_steps(min_words=0, similarity=0.8, names=(), held_out=None, without=()):
    """The steps for programs: no rule of prose, and indentation stays (code.py).

    The arguments and what is raised are those of standard_steps.
    """
    steps = [
        Step("characters", change=code.tidied),
        Step("line length", code.short_lines()),
        Step("letters", code.enough_letters()),
        Step("word count", word_count(min_words)),
        Step("exact copies", ExactDuplicates()),
        Step("near copies", NearDuplicates(similarity)),
    ]
    if held_out is not None:
        steps.append(Step("test set", Contamination(held_out)))
    steps.append(Step("personal data", change=Masker(names=names)))
    return _leaving_out(steps, without, ("test set",))


def _leaving_out(steps, without, sometimes):
    """The steps without those named; ConfigError for a name that is no step.

    sometimes   names of steps that only some settings bring: without those, nothing is to be left
                out
    """
    known = [step.name for step in steps]
    for name in without:
        if name not in known and name not in sometimes:
            raise ConfigError(f"pipeline: no step {name!r}; the steps are {', '.join(known)}")
    return [step for step in steps if step.name not in without]


def _like(texts):
    """The rule that a text costs no more than 95 % of good texts do, by a model of the others among
    them.
    """
    if len(texts) < 10:
        raise ConfigError(
            f"pipeline: {len(texts)} reference texts are too few to know what good text costs: give 10 or more"
        )
    apart = texts[::5]
    score = CharNGram(
        itertools.chain.from_iterable(texts[i::5] for i in range(1, 5))
    ).bits_per_character
    return cheap_enough(score, threshold(score, apart))
