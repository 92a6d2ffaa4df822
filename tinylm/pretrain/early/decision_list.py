"""Which sense has a word here? Decision lists that grow from a few seeds   (Yarowsky 1995; book
section 1.1.1)

A plant beside "life" lives, beside "manufacturing" it does not. From a few such seeds more
collocations are learnt, each with log Pr(sense A | c) / Pr(sense B | c); the surest rule that
applies decides alone. What the list is sure of is labeled and learnt from in turn. A word also
keeps its sense throughout a text, which labels what no rule reaches and corrects slips. This is the
first self-training in language processing. Read next: self_training.py.
"""

import math
from collections import Counter

from tinylm.errors import ConfigError


def decision_list(contexts, labels, smoothing=0.1):
    """Learn the rules from labeled contexts.

    contexts   list of sets of collocations (any sortable things)
    labels     list of senses, None where there is no label
    smoothing  added to the counts, so that what was never seen is not ruled out
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
        sense = max(senses, key=lambda s: (count[s], -senses.index(s)))
        others = max(1, len(senses) - 1) * smoothing
        ratio = math.log((count[sense] + smoothing) / (total - count[sense] + others))
        if ratio > 0:
            rules.append((ratio, feature, sense))
    return sorted(rules, key=lambda rule: (-rule[0], rule[1]))


def decide(rules, context):
    """(sense, log ratio) of the first rule whose collocation is there; (None, 0.0) if there is
    none.
    """
    return next(
        ((sense, ratio) for ratio, feature, sense in rules if feature in context), (None, 0.0)
    )


def one_sense_per_discourse(labels, discourses):
    """Give all occurrences in a text the sense that most of its labeled ones have; a tie changes
    nothing.

    labels, discourses  lists: sense or None, and the text it is in
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


def yarowsky(contexts, seeds, discourses=None, threshold=1.0, rounds=20, smoothing=0.1):
    """Label contexts, starting from seed collocations.

    contexts    list of sets of collocations
    seeds       dict collocation -> sense; they stay rules, above all others
    discourses  list that says which text a context is from, or None: one sense per discourse is not
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
        rules = first + [
            rule for rule in decision_list(contexts, labels, smoothing) if rule[0] >= threshold
        ]
    return labels, rules, history
