"""Predict, then refine, before language models: a tagger by transformations   (Brill 1992; book
section 3.2.3).

    1. tag each word with its most frequent tag                      (the prediction)
    2. apply learned rules in order: "change NOUN to VERB if the tag before is PART"  (refinements)

Learning is greedy: of all rules that a template can form, take the one that removes most errors
from the training data, apply it, and search again. A rule looks at the tags as they are before it
is applied anywhere, so its gain is counted exactly, and the training error falls by that number:
it never rises. Read next: ../ensemble/combine.py; data/read/conllu.py reads tagged sentences.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from tinylm.errors import ConfigError, DataError

# Where a rule looks, from its word: offsets of tags and of words. All must match (Brill's
# contextual templates); in the last two, one of the offsets must.
TEMPLATES = {
    "the tag before": ("all tags", (-1,)),
    "the tag after": ("all tags", (1,)),
    "the tag two before": ("all tags", (-2,)),
    "the tag two after": ("all tags", (2,)),
    "the tags around": ("all tags", (-1, 1)),
    "the two tags before": ("all tags", (-2, -1)),
    "the two tags after": ("all tags", (1, 2)),
    "the word": ("all words", (0,)),
    "the word before": ("all words", (-1,)),
    "the word after": ("all words", (1,)),
    "one of the two tags before": ("any tag", (-2, -1)),
    "one of the two tags after": ("any tag", (1, 2)),
}
EDGE = "<edge>"  # the tag and the word beyond a sentence


@dataclass(frozen=True)
class Rule:
    """Change tag `old` to `new` where a template finds `value`.

    template  a key of TEMPLATES
    value     tuple of the tags or words that must stand there
    gain      errors of the training data that it removed, fewer those that it made
    """

    old: str
    new: str
    template: str
    value: tuple
    gain: int = 0

    def __str__(self) -> str:
        return f"{self.old} -> {self.new} if {self.template}: {' '.join(self.value)}"


def contexts(
    template: str, words: Sequence[str], tags: Sequence[str], i: int
) -> list[tuple[str, ...]]:
    """What a template sees at word i: a list of values, each of which a rule could ask for.

    words, tags  of one sentence
    returns      list of tuples of str: one, or for "one of ..." as many as there are different ones
    """
    kind, offsets = TEMPLATES[template]
    row = tags
    if kind == "all words":
        row = words
    seen = [row[i + k] if 0 <= i + k < len(row) else EDGE for k in offsets]
    # "One of": each tag is a value by itself, and an equal pair one value.
    if kind == "any tag":
        return [(one,) for one in dict.fromkeys(seen)]
    return [tuple(seen)]


def apply_rule(rule: Rule, words: Sequence[str], tags: Sequence[str]) -> list[str]:
    """The tags of a sentence after a rule: every place is decided on the tags before: list."""
    return [
        rule.new
        if tag == rule.old and rule.value in contexts(rule.template, words, tags, i)
        else tag
        for i, tag in enumerate(tags)
    ]


class BrillTagger:
    """A tagger of most frequent tags and transformation rules.

    lexicon  {word: its most frequent tag}
    unknown  the tag of other words
    rules    list of Rule, applied in order
    """

    def __init__(self, lexicon: dict[str, str], unknown: str, rules: tuple = ()) -> None:
        self.lexicon, self.unknown, self.rules = dict(lexicon), unknown, list(rules)

    def first_tags(self, words: Sequence[str]) -> list[str]:
        """The most frequent tag of each word, before any rule: list of str."""
        return [self.lexicon.get(word, self.unknown) for word in words]

    def tag(self, words: Sequence[str], rules: int | None = None) -> list[str]:
        """The tags of a sentence: list of str.

        rules  how many of the rules are applied; None: all
        """
        tags = self.first_tags(words)
        for rule in self.rules[:rules]:
            tags = apply_rule(rule, words, tags)
        return tags

    def errors(
        self,
        sentences: Sequence[tuple[list[str], list[str]]],
        rules: int | None = None,
    ) -> int:
        """The number of wrong tags in (words, tags) sentences."""
        return sum(
            found != right
            for words, gold in sentences
            for found, right in zip(self.tag(words, rules), gold)
        )

    @property
    def size(self) -> int:
        """Symbols that are stored: a word and its tag for each entry of the lexicon; of each rule
        its two tags, its template and what that must find.
        """
        return 2 * len(self.lexicon) + sum(3 + len(rule.value) for rule in self.rules)

    @classmethod
    def learn(
        cls,
        sentences: Sequence[tuple[list[str], list[str]]],
        most_rules: int = 50,
        least_gain: float = 2,
        templates: Sequence[str] = tuple(TEMPLATES),
        most_words: int | None = None,
    ) -> "BrillTagger":
        """Learn lexicon and rules.

        sentences   list of (words, tags), as read_conllu gives them
        most_rules  stop after so many rules
        least_gain  stop when the best rule removes fewer errors, at least 1
        templates   keys of TEMPLATES
        most_words  entries of the lexicon at most, as in most_frequent_tags
        raises      DataError without a word; ConfigError for an unknown template, or least_gain
                    below 1, with which learning need not end
        """
        if least_gain < 1:
            raise ConfigError(f"BrillTagger: least_gain must be 1 or more, not {least_gain}")
        unknown_names = [name for name in templates if name not in TEMPLATES]
        if unknown_names:
            raise ConfigError(
                f"BrillTagger: no template {unknown_names[0]!r}; there are {', '.join(TEMPLATES)}"
            )
        # Lexicon first: the rules then learn from the errors that it makes on its own data.
        tagger = cls(*most_frequent_tags(sentences, most_words))
        now = [tagger.first_tags(words) for words, _ in sentences]
        while len(tagger.rules) < most_rules:
            rule = best_rule(sentences, now, templates)
            if rule is None or rule.gain < least_gain:
                break
            tagger.rules.append(rule)
            # Later rules see the tags that this one has changed.
            now = [apply_rule(rule, words, tags) for (words, _), tags in zip(sentences, now)]
        return tagger


def most_frequent_tags(
    sentences: Sequence[tuple[list[str], list[str]]], most_words: int | None = None
) -> tuple[dict[str, str], str]:
    """({word: its most frequent tag}, the most frequent tag of words that occur once).

    Words that occur once are the best picture of words that never do. Without such words the second
    is the most frequent tag of all; of equally frequent tags the first in the alphabet is taken.

    most_words  the most frequent words alone, of equally frequent ones the first in the alphabet;
                the second is then that of the words left out, if there are any
    raises      DataError without a word
    """
    counts = defaultdict(Counter)  # word -> {tag: count}
    for words, tags in sentences:
        for word, tag in zip(words, tags):
            counts[word][tag] += 1
    if not counts:
        raise DataError("BrillTagger: the sentences hold no word to learn from")
    order = sorted(counts, key=lambda word: (-counts[word].total(), word))
    kept, left_out = order, []
    if most_words is not None:
        kept, left_out = order[:most_words], order[most_words:]
    once = [word for word in order if counts[word].total() == 1]
    # What stands for words without an entry: those that were left out, or rare ones, or all.
    like_unknown = sum((counts[word] for word in left_out or once or order), Counter())
    return {word: _most(counts[word]) for word in kept}, _most(like_unknown)


def _most(counts):
    return min(counts, key=lambda tag: (-counts[tag], tag))


def best_rule(
    sentences: Sequence[tuple[list[str], list[str]]],
    now: Sequence[list[str]],
    templates: Sequence[str] = tuple(TEMPLATES),
) -> Rule | None:
    """The rule that removes most errors from the tags of now, or None if there is no error.

    sentences  list of (words, right tags)
    now        list of lists of the present tags
    returns    Rule with its gain, which may be 0 or negative; of equal gains the first by its text
    """
    fixed = Counter()  # rule without gain -> errors that it would remove
    # Only rules that would mend at least one error are worth counting: each error proposes, for
    # every template, the rule that sees what stands around it.
    for (words, gold), tags in zip(sentences, now):
        for i, (tag, right) in enumerate(zip(tags, gold)):
            if tag != right:
                for name in templates:
                    for value in contexts(name, words, tags, i):
                        fixed[Rule(tag, right, name, value)] += 1
    if not fixed:
        return None
    # A rule old -> new breaks each right `old` that it finds, whatever `new` is.
    wanted = {(rule.old, rule.template, rule.value) for rule in fixed}
    olds = {rule.old for rule in fixed}
    broken = Counter()
    for (words, gold), tags in zip(sentences, now):
        for i, (tag, right) in enumerate(zip(tags, gold)):
            if tag == right and tag in olds:
                for name in templates:
                    for value in contexts(name, words, tags, i):
                        if (tag, name, value) in wanted:
                            broken[tag, name, value] += 1
    gains = {
        rule: count - broken[rule.old, rule.template, rule.value] for rule, count in fixed.items()
    }
    most = max(gains.values())
    best = min((rule for rule in gains if gains[rule] == most), key=str)
    return Rule(best.old, best.new, best.template, best.value, most)
