"""The sense of a word in its context: decision lists that grow from a few seeds   (Yarowsky 1995;
book section 1.1.1)

A plant beside "life" lives, beside "manufacturing" it does not. From a few such seeds more
collocations c are learnt, each with the weight log Pr(sense A | c) / Pr(sense B | c); the heaviest
rule that applies decides alone. Contexts above a threshold are labeled, and the next list is learnt
from them. A word also keeps its sense throughout a text, which labels what no rule reaches and
corrects slips. This is the first self-training in language processing. Read next: self_training.py.
"""

import math
from collections import Counter
from collections.abc import Sequence

from tinylm.errors import ConfigError


def decision_list(
    contexts: Sequence[set[str]], labels: Sequence[str | None], smoothing: float = 0.1
) -> list[tuple[float, str, str]]:
    """Learn the rules from labeled contexts.

    contexts   list of sets of collocations (any sortable things)
    labels     list of senses, None where there is no label
    smoothing  added to the counts, so that a sense that was never seen is not ruled out
    returns    list of (log ratio, collocation, sense), the surest first, of log ratio above 0
    """
    senses = sorted({label for label in labels if label is not None})
    counts = {}
    for context, label in zip(contexts, labels):
        if label is not None:
            for feature in context:
                counts.setdefault(feature, Counter())[label] += 1
    rules = []
    for feature, count in counts.items():
        total = sum(count.values())
        sense = max(senses, key=lambda s: count[s])  # a tie gives a ratio of 1 at most: no rule
        # log [ (n_sense + s) / (n_others + (K - 1) s) ],  K senses
        others = max(1, len(senses) - 1) * smoothing
        ratio = math.log((count[sense] + smoothing) / (total - count[sense] + others))
        if ratio > 0:
            rules.append((ratio, feature, sense))
    return sorted(rules, key=lambda rule: (-rule[0], rule[1]))


def decide(rules: Sequence[tuple[float, str, str]], context: set[str]) -> tuple[str | None, float]:
    """(sense, log ratio) of the first rule whose collocation occurs; (None, 0.0) if none does."""
    for ratio, feature, sense in rules:
        if feature in context:
            return sense, ratio
    return None, 0.0


def one_sense_per_discourse(
    labels: Sequence[str | None], discourses: Sequence[int]
) -> list[str | None]:
    """Give all occurrences in a text the sense that most of its labeled ones have; a tie changes
    nothing.

    labels, discourses  lists: the sense or None, and the text that the occurrence is in
    returns             list of senses or None
    """
    votes = {}
    for label, discourse in zip(labels, discourses):
        if label is not None:
            votes.setdefault(discourse, Counter())[label] += 1
    winner = {}
    for discourse, count in votes.items():
        best = count.most_common(2)
        if len(best) == 1 or best[0][1] > best[1][1]:
            winner[discourse] = best[0][0]
    return [winner.get(discourse, label) for label, discourse in zip(labels, discourses)]


def yarowsky(
    contexts: Sequence[set[str]],
    seeds: dict[str, str],
    discourses: Sequence[int] | None = None,
    threshold: float = 1.0,
    rounds: int = 20,
    smoothing: float = 0.1,
) -> tuple[list[str | None], list[tuple], list[list[str | None]]]:
    """Label contexts, starting from seed collocations.

    contexts    list of sets of collocations
    seeds       dict collocation -> sense; they stay rules, above all others
    discourses  list of the texts that the contexts are from; None: one sense per discourse is not
                used
    threshold   least log ratio of a rule that labels
    rounds      most rounds; it ends when no label changes
    returns     (labels, None where nothing decides; the last decision list; labels after every
                round)
    """
    if not seeds:
        raise ConfigError("yarowsky: no seed: name at least one collocation of each sense")
    first = [(math.inf, feature, sense) for feature, sense in sorted(seeds.items())]
    rules, history = first, []
    for _ in range(rounds):
        labels = [decide(rules, context)[0] for context in contexts]
        if discourses is not None:
            labels = one_sense_per_discourse(labels, discourses)
        if history and labels == history[-1]:
            break
        history.append(labels)
        # All labels are made anew by the next list: an early mistake can be corrected.
        learned = decision_list(contexts, labels, smoothing)
        rules = first + [rule for rule in learned if rule[0] >= threshold]
    return labels, rules, history
