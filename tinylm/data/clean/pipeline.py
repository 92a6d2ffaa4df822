"""From collected text to training text: a pipeline of steps, each of which counts what it drops.

Most of a web corpus is dropped (book section 2.2.1: up to 90 % of pages, Penedo et al. 2023), so it
matters which step drops what. A step is a *rule* (text -> True to keep it) or a *change* (text ->
text). Pure rules may come in any order; rules with a memory (duplicates) see what the steps before
them kept. Documents pass one by one: memory is that of one document and of the steps. Read first:
cleaning.py, quality.py, dedup.py, privacy.py.
"""

import itertools
import shlex
from collections.abc import Callable, Iterable, Iterator, Sequence
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
    """One step and its counts so far.

    name      in the report
    rule      function text -> True to keep it; or None
    change    function text -> text; or None. A text that becomes empty is dropped
    seen, dropped, changed  numbers of documents
    bytes_in, bytes_out     UTF-8 bytes before and after the step
    examples  (before, after) of the first documents changed or dropped; after is "" if dropped
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

    def __call__(self, text: str, show: int = 0) -> str | None:
        """The text after this step, or None if it is dropped.

        show    examples to keep
        """
        self.seen += 1
        self.bytes_in += _size(text)
        after = text
        if self.change is not None:
            after = self.change(text)
        # A step with both is first a change, then a rule on the changed text.
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
    return len(text.encode("utf-8", "surrogatepass"))  # counted before lone surrogates are removed


class Pipeline:
    """Steps applied in order: `for text in Pipeline(steps)(documents)`, then `report()`.

    steps   iterable of Step
    show    examples to keep for each step
    raises  ConfigError for two steps of one name, or a step that is neither rule nor change
    """

    def __init__(self, steps: Sequence[Step], show: int = 0) -> None:
        self.steps, self.show = list(steps), show
        names = [step.name for step in self.steps]
        for step in self.steps:
            if names.count(step.name) > 1 or step.rule is None and step.change is None:
                raise ConfigError(
                    f"pipeline: step {step.name!r} stands twice, or is neither a rule nor a change"
                )
        self.seen = self.kept = self.bytes_in = self.bytes_out = 0

    def __call__(self, documents: Iterable[str]) -> Iterator[str]:
        """Yield the documents that pass all steps, with all changes made."""
        for text in documents:
            self.seen += 1
            self.bytes_in += _size(text)
            for step in self.steps:
                text = step(text, self.show)
                if text is None:
                    break
            else:  # no step dropped it
                self.kept += 1
                self.bytes_out += _size(text)
                yield text

    def report(self) -> list[str]:
        """The counts of all steps, as lines of a table.

        returns  list of str: of each step the documents in, dropped and changed, and the share of
                 all bytes left after it
        """
        width = max([len(step.name) for step in self.steps] + [9])
        lines = [
            f"{'step':<{width}} {'in':>9} {'dropped':>9} {'of these':>9} {'changed':>9} "
            f"{'bytes left':>12} {'of all':>7}"
        ]
        for step in self.steps:
            dropped, left = _part(step.dropped, step.seen), _part(step.bytes_out, self.bytes_in)
            lines.append(
                f"{step.name:<{width}} {step.seen:>9,} {step.dropped:>9,} {dropped:>9} "
                f"{step.changed:>9,} {step.bytes_out:>12,} {left:>7}"
            )
        kept, left = _part(self.kept, self.seen), _part(self.bytes_out, self.bytes_in)
        lines += [
            "",
            f"kept {self.kept:,} of {self.seen:,} documents ({kept}), "
            f"{self.bytes_out:,} of {self.bytes_in:,} bytes ({left})",
        ]
        return lines

    def losses(self) -> list[str]:
        """If more than half was dropped: the steps that dropped most, with the option to skip each.

        returns  list of str, empty if half of the documents and of the bytes are left
        """
        if 2 * self.kept >= self.seen and 2 * self.bytes_out >= self.bytes_in:
            return []
        # Documents dropped come first; among steps that drop as many, bytes.
        lossy = [step for step in self.steps if step.dropped or step.bytes_out < step.bytes_in]
        lossy.sort(key=lambda step: (step.dropped, step.bytes_in - step.bytes_out), reverse=True)
        lines = ["more than half went; a rule is left out with --without NAME:"]
        for step in lossy[:8]:
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
    languages: Sequence[str] = ("en",),
    min_words: int = 50,
    similarity: float = 0.8,
    toxic_words: Sequence[str] | None = None,
    toxic_most: float = 0.01,
    names: Sequence[str] = (),
    reference: Sequence[str] | None = None,
    held_out: Sequence[str] | None = None,
    without: Sequence[str] = (),
) -> list[Step]:
    """The usual steps in the usual order, with the thresholds of their papers.

    languages    to keep; Gopher's rule on stop words is applied to English alone. Empty: all
    min_words    of a document (Gopher: 50)
    similarity   Jaccard similarity from which on a document is a near copy
    toxic_words  list of str; by default a few examples
    toxic_most   largest share of the words of a document that may be among them
    names        of people, to be masked
    reference    texts known to be good. A document is dropped if its bits per character under a
                 model of them are more than those of 95 % of held-out reference texts
    held_out     texts of the test set, which must not be trained on
    without      names of steps to leave out
    returns      list of Step
    raises       ConfigError for a name in `without` that is no step
    """
    # Changes of form first: the rules count lines and words of the text as it will be.
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
    if tuple(languages) != ("en",):  # its words are English
        del quality["stop words"]
    steps += [Step(name, rule) for name, rule in {**quality, **gopher_repetition()}.items()]
    if reference is not None:
        steps.append(Step("reference", _like(list(reference))))
    words = WordList() if toxic_words is None else WordList(toxic_words)
    # Duplicates late, so that only texts that would be kept are stored; masking last, so that it
    # does not make different texts equal.
    steps += [
        Step("toxic words", words.clean(toxic_most)),
        Step("exact copies", ExactDuplicates()),
        Step("near copies", NearDuplicates(similarity)),
    ]
    if held_out is not None:
        steps.append(Step("test set", Contamination(held_out)))
    steps.append(Step("personal data", change=Masker(names=names)))
    return _leaving_out(steps, without, ("language", "stop words", "reference", "test set"))


def code_steps(
    min_words: int = 0,
    similarity: float = 0.8,
    names: Sequence[str] = (),
    held_out: Sequence[str] | None = None,
    without: Sequence[str] = (),
) -> list[Step]:
    """The steps for program code: no rule of prose, and indentation stays (code.py).

    Arguments and errors are those of standard_steps.
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
    """The steps except those in `without`; ConfigError for a name that is no step.

    sometimes   names of steps that only some settings add: no error where they are missing
    """
    known = [step.name for step in steps]
    for name in without:
        if name not in known and name not in sometimes:
            raise ConfigError(f"pipeline: no step {name!r}; the steps are {', '.join(known)}")
    return [step for step in steps if step.name not in without]


def _like(texts):
    """The rule for `reference` of standard_steps."""
    if len(texts) < 10:
        raise ConfigError(
            f"pipeline: {len(texts)} reference texts are too few to know what good text costs: "
            "give 10 or more"
        )
    # Four fifths train the model, one fifth sets the threshold: a model prefers its training text.
    held_out = texts[::5]
    training = itertools.chain.from_iterable(texts[i::5] for i in range(1, 5))
    score = CharNGram(training).bits_per_character
    return cheap_enough(score, threshold(score, held_out))
