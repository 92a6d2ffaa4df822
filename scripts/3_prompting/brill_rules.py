"""Predict, then refine, before language models: Brill's tagger, whose rules mend its first tags.

Book section 3.2.3, which names it as an ancestor of self-refinement. Every word first gets its most
frequent tag; then learnt rules are applied in order, "change PART to ADP if the tag after is PRON",
each to the tags that the rules before it left (Brill 1992). No gradient and no language model: what
does refinement gain where its rules are known to the letter, and what does it cost?

UD English EWT (17 tags): five draws of 1,600 sentences to learn from and 400 others to test on.

    rules        after 0, 1, 2, 5, 10, 20, 50 rules: accuracy on both
    equal size   a lexicon of the 300 most frequent words and 50 rules, against a lexicon alone of
                 as many symbols (two for an entry; two tags, a template and its value for a rule)
    equal data   rules from half of the sentences, against the most frequent tags of all
    order        the rules as they were learnt, against the same rules in random orders
    two states   shares of the wrong tags that the rules mend and of the right ones that they break:
                 refinement with these shares at every round would end at mended / (mended + broken)
                 (tinylm/prompt/refine/markov.py)

Claims, by the interval over the five draws (which share sentences), written before the run: rules
tag better than the most frequent tags; so they do at equal size, and from half of the sentences;
the order matters; the first ten rules bring more than half of what all bring; errors fall more on
the sentences that were learnt from. `python scripts/3_prompting/brill_rules.py --data DIR [--seed
N] [--quick]`: DIR (or TINYLM_DATA) has tagging/ud_en_ewt_dev.conllu.gz. About 5 minutes on one
core; --quick learns from 100 sentences. Read next: tinylm/prompt/refine/brill.py;
samples_and_verifiers.py, where a model refines.

Measured output:

    1600 sentences to learn from, 400 new ones; mean (least .. most) of 5
         0 rules, new sentences              0.826 (0.820 .. 0.833)
         0 rules, sentences learnt from      0.940 (0.939 .. 0.941)
         1 rules, new sentences              0.828 (0.822 .. 0.835)
         1 rules, sentences learnt from      0.942 (0.941 .. 0.943)
         2 rules, new sentences              0.829 (0.824 .. 0.835)
         2 rules, sentences learnt from      0.943 (0.942 .. 0.944)
         5 rules, new sentences              0.832 (0.826 .. 0.839)
         5 rules, sentences learnt from      0.947 (0.946 .. 0.947)
        10 rules, new sentences              0.835 (0.833 .. 0.840)
        10 rules, sentences learnt from      0.950 (0.950 .. 0.951)
        20 rules, new sentences              0.843 (0.836 .. 0.849)
        20 rules, sentences learnt from      0.955 (0.954 .. 0.956)
        50 rules, new sentences              0.846 (0.840 .. 0.853)
        50 rules, sentences learnt from      0.960 (0.959 .. 0.962)
        rules in random orders               0.845 (0.840 .. 0.852)
        half of the sentences, no rule       0.790 (0.783 .. 0.796)
        half of the sentences, their rules   0.805 (0.796 .. 0.815)
        300 words, no rule                   0.694 (0.686 .. 0.703)
        300 words and their rules            0.755 (0.748 .. 0.762)
        as many symbols of words             0.714 (0.708 .. 0.724)
        wrong tags that are mended           0.141 (0.134 .. 0.152)
        right tags that are broken           0.006 (0.004 .. 0.007)
        where rounds like this would end     0.962 (0.955 .. 0.968)
        symbols of both                      814 (811 .. 815)
        words of as many symbols             406 (405 .. 407)
    the first rules of the last draw, and the errors that each removed
          40  PART -> ADP if the tag after: DET
          29  ADP -> SCONJ if the tag after: VERB
          27  PART -> ADP if the tag after: PRON
          26  PART -> ADP if the tag after: PROPN
          22  SCONJ -> PRON if the tag after: AUX
          18  VERB -> AUX if the tags around: PRON VERB
          14  ADP -> ADV if the word after: well
          14  ADP -> AUX if the word: 's
          17  AUX -> VERB if the word before: there
          12  ADP -> PART if the word: not
    rules tag new sentences better than the most frequent tags (section 3.2.3): +0.0198 [+0.0195,
      +0.0201], 5 seeds: shows
    at equal size rules are worth more than further words (section 3.2.3): +0.0409 [+0.035,
      +0.0468], 5 seeds: shows
    rules from half of the sentences beat the most frequent tags of all (section 3.2.3): -0.0211
      [-0.0291, -0.013], 5 seeds: shows the opposite
    the order in which the rules were learnt beats random orders (section 3.2.3): +0.000796
      [+0.000199, +0.00139], 5 seeds: shows
    the first ten rules bring more than half of the gain of all (section 3.2.3): -0.0007 [-0.0042,
      +0.00281], 5 seeds: too small to tell; 0.0035 could have been seen
    rules mend more of the sentences that they were learnt from (section 3.2.3): +0.00066
      [-0.000411, +0.00173], 5 seeds: too small to tell; 0.0011 could have been seen
    259 s of one core

Fifty rules that can be read mend 14 wrong tags of a hundred and break fewer than one right tag of a
hundred, so refinement pays; if every round mended and broke as much, it would end at 0.96. For as
many symbols rules are worth twice as much as further words. They do not replace data: half of the
sentences with rules stay below all of them without. The order of the rules matters by less than a
thousandth here. Each rule fits the sentences that it was counted on, and yet new ones gain as much
in points; of their wrong tags, though, a far smaller share is mended (0.11 of the errors against
0.34). The draws share sentences, so their intervals are narrower than those of new corpora would
be.
"""

import argparse
import os
import sys
import time
from pathlib import Path

import numpy as np

from tinylm.backend import Random
from tinylm.data.read.conllu import read_conllu
from tinylm.errors import ConfigError
from tinylm.prompt.refine.brill import BrillTagger
from tinylm.prompt.refine.markov import RefinementChain
from tinylm.train.experiments.compare import ONLY_RUNS, Claim, mean_and_range

FILE = "tagging/ud_en_ewt_dev.conllu.gz"
DRAWS = 5
LEARNT, TESTED = 1600, 400  # sentences of a draw
RULES, FIRST = 50, 10
SHOWN = (0, 1, 2, 5, 10, 20, RULES)
WORDS = 300  # of the small lexicon: half of the words of a text, a thirtieth of the vocabulary
ORDERS = 5  # random orders of the same rules
HELP = Claim("rules tag new sentences better than the most frequent tags", "3.2.3", limit=1.0)
SIZE = Claim("at equal size rules are worth more than further words", "3.2.3", limit=1.0)
DATA = Claim("rules from half of the sentences beat the most frequent tags of all", "3.2.3")
ORDER = Claim("the order in which the rules were learnt beats random orders", "3.2.3")
EARLY = Claim("the first ten rules bring more than half of the gain of all", "3.2.3")
SEEN = Claim("rules mend more of the sentences that they were learnt from", "3.2.3")


def right_tags(tagger, sentences, rules=None):
    """For each word, is its tag right? bool array."""
    return np.array(
        [
            found == right
            for words, gold in sentences
            for found, right in zip(tagger.tag(words, rules), gold)
        ]
    )


def accuracy(tagger, sentences, rules=None):
    """Share of right tags."""
    return float(right_tags(tagger, sentences, rules).mean())


def in_random_orders(tagger, sentences, seed):
    """Mean accuracy of the same rules in random orders."""
    found = []
    for number in range(ORDERS):
        order = Random(seed, f"order {number}").permutation(len(tagger.rules))
        rules = [tagger.rules[i] for i in order]
        found.append(accuracy(BrillTagger(tagger.lexicon, tagger.unknown, rules), sentences))
    return float(np.mean(found))


def lexicon_of_size(sentences, size):
    """A tagger without rules whose lexicon has so many symbols, or one less."""
    return BrillTagger.learn(sentences, most_rules=0, most_words=size // 2)


def draw(sentences, seed, learnt, tested):
    """All measurements of one draw: dict."""
    order = Random(seed, "sentences").permutation(len(sentences))
    chosen = [sentences[i] for i in order[: learnt + tested]]
    train, test = chosen[:learnt], chosen[learnt:]
    whole = BrillTagger.learn(train, most_rules=RULES)
    half = BrillTagger.learn(train[: learnt // 2], most_rules=RULES)
    small = BrillTagger.learn(train, most_rules=RULES, most_words=WORDS)
    words = lexicon_of_size(train, small.size)
    found = {}
    for count in SHOWN:
        found[f"{count:2} rules, new sentences"] = accuracy(whole, test, count)
        found[f"{count:2} rules, sentences learnt from"] = accuracy(whole, train, count)
    # One round of refinement: each tag before the first rule, and after the last.
    chain = RefinementChain.measured([right_tags(whole, test, 0), right_tags(whole, test)])
    return whole, found | {
        "rules in random orders": in_random_orders(whole, test, seed),
        "half of the sentences, no rule": accuracy(half, test, 0),
        "half of the sentences, their rules": accuracy(half, test),
        f"{WORDS} words, no rule": accuracy(small, test, 0),
        f"{WORDS} words and their rules": accuracy(small, test),
        "as many symbols of words": accuracy(words, test),
        "wrong tags that are mended": chain.fix,
        "right tags that are broken": chain.harm,
        "where rounds like this would end": chain.limit(0.0),
        "symbols of both": small.size,
        "words of as many symbols": len(words.lexicon),
    }


def judge(s):
    """Print the verdicts. s: name -> (draws,)."""
    gain, learnt = (
        s[f"{RULES} rules, {which}"] - s[f" 0 rules, {which}"]
        for which in ("new sentences", "sentences learnt from")
    )
    before, after = s[" 0 rules, new sentences"], s[f"{RULES} rules, new sentences"]
    print(HELP.line(after, before))
    print(SIZE.line(s[f"{WORDS} words and their rules"], s["as many symbols of words"]))
    print(DATA.line(s["half of the sentences, their rules"], before))
    print(ORDER.line(after, s["rules in random orders"]))
    print(EARLY.line(s[f"{FIRST} rules, new sentences"] - before, gain / 2))
    print(SEEN.line(learnt, gain))


def main(argv=None):
    """Print the table, the first rules and the verdicts."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--data", default=os.environ.get("TINYLM_DATA"), help=f"has {FILE}; or TINYLM_DATA"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the draws")
    parser.add_argument("--quick", action="store_true", help="two draws of 100 sentences")
    options = parser.parse_args(argv)
    draws, learnt, tested = DRAWS, LEARNT, TESTED
    if options.quick:
        print(ONLY_RUNS)
        draws, learnt, tested = 2, 100, 100
    if not options.data or not (Path(options.data) / FILE).is_file():
        raise ConfigError(f"give the folder that has {FILE}: --data DIR, or TINYLM_DATA")
    sentences = read_conllu(Path(options.data) / FILE)
    began, found = time.process_time(), []
    for seed in range(options.seed, options.seed + draws):
        tagger, one = draw(sentences, seed, learnt, tested)
        found.append(one)
        print(f"draw {seed}: done", file=sys.stderr, flush=True)
    scores = {name: np.array([one[name] for one in found]) for name in found[0]}
    print(f"{learnt} sentences to learn from, {tested} new ones; mean (least .. most) of {draws}")
    for name, values in scores.items():
        form = ".3f"
        if values[0] > 1:
            form = ".0f"
        print(f"    {name:36} {mean_and_range(values, form)}")
    print("the first rules of the last draw, and the errors that each removed")
    for rule in tagger.rules[:FIRST]:
        print(f"    {rule.gain:4}  {rule}")
    judge(scores)
    print(f"{time.process_time() - began:.0f} s of one core")


if __name__ == "__main__":
    main()
