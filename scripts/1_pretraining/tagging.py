"""Parts of speech and names, with and without pre-training, with and without a CRF. Book section
1.4.4, eq. 1.23.

Claims: an encoder pre-trained by masked language modeling tags better than one trained from random
weights; a name is a sequence of tags, so choosing the best sequence (a CRF, or the rules of BIO
alone, by Viterbi) finds more whole names than choosing tag by tag. One encoder of two layers of
width 64; pre-trained on the raw training sentences of both tasks, with no other text; each model
then fine-tuned on each task with the same number of steps. Beside them the oldest tagger: every
word its most frequent tag, unknown words the most frequent tag of all. `python
scripts/1_pretraining/tagging.py [--steps 200] [--data FOLDER] [--seed N] [--device D] [--quick]`.
FOLDER (or TINYLM_DATA) has tagging/ud_en_ewt_dev.conllu.gz (2,001 sentences; a fifth is for
testing) and tagging/wnut17_{train,dev}.conll.gz; without it, sentences of a made-up grammar. Three
seeds of pre-training, new weights and order; --quick two, with fewer steps. About 6 minutes on one
core.

Measured output (CPU; UD English EWT and WNUT 2017), ten equal lines on names put into one:

    UD English EWT and WNUT 2017; 800 steps of masked LM, 200 of fine-tuning, 16 sentences each
    seed 0: masked LM ends at 6.63 nats, guessing would be 8.29
    seed 1: masked LM ends at 6.70 nats, guessing would be 8.29
    seed 2: masked LM ends at 6.68 nats, guessing would be 8.29

    parts of speech: 1600 sentences to learn from, 401 for testing; accuracy over words, % (least ..
      most)
        each word its most frequent tag                 82.1
        tag by tag, from random weights                 71.0 (69.3 .. 73.3)
        tag by tag, pre-trained                         69.8 (68.4 .. 71.1)
        CRF, from random weights                        72.7 (71.0 .. 74.9)
        CRF, pre-trained                                71.7 (70.4 .. 72.8)

    names: 3394 sentences to learn from, 1009 for testing; F1 over whole names, % (least .. most)
        each word its most frequent tag                  9.6
        tag by tag, from random weights                  0.0 ( 0.0 ..  0.0)
        tag by tag, pre-trained                          0.0 ( 0.0 ..  0.0)
        tag by tag, BIO rules, from random weights       0.0 ( 0.0 ..  0.0)
        tag by tag, BIO rules, pre-trained               0.0 ( 0.0 ..  0.0)
        CRF, from random weights                         0.0 ( 0.0 ..  0.0)
        CRF, pre-trained                                 0.0 ( 0.0 ..  0.0)
        CRF, BIO rules, from random weights              0.0 ( 0.0 ..  0.0)
        CRF, BIO rules, pre-trained                      0.0 ( 0.0 ..  0.0)

    parts of speech, tag by tag: pre-training helps: -0.0118 [-0.0537, +0.0301], 3 seeds: too small
      to tell; 0.042 could have been seen
    parts of speech, CRF: pre-training helps: -0.00938 [-0.052, +0.0333], 3 seeds: too small to
      tell; 0.043 could have been seen
    parts of speech, from random weights: CRF beats choosing tag by tag: +0.0165 [+0.0136, +0.0194],
      3 seeds: shows
    parts of speech, pre-trained: CRF beats choosing tag by tag: +0.0189 [+0.0127, +0.0251], 3
      seeds: shows
    names, in each of ten comparisons: +0 [+0, +0], 3 seeds: cannot show by design

    334 s of one core

200 steps are too few for names: no word is tagged as one, and by the floor of the claims nothing
can show there. At parts of speech a CRF is better than choosing tag by tag; that pre-training on
5,000 sentences is, does not show; and every model stays 9 points or more below the most frequent
tag of each word. With `--steps 600`, names alone, one seed:

        each word its most frequent tag                   9.6
        tag by tag, from random weights                  10.0
        tag by tag, pre-trained                           5.2
        tag by tag, BIO rules, from random weights       10.0
        tag by tag, BIO rules, pre-trained                5.2
        CRF, from random weights                         11.3
        CRF, pre-trained                                  6.2
        CRF, BIO rules, from random weights              11.3
        CRF, BIO rules, pre-trained                       6.2
"""

import argparse
import itertools
import os
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from tinylm.data.read.conll import read_conll, read_conllu
from tinylm.finetune import evaluate, fit
from tinylm.finetune.inputs import EncoderInput
from tinylm.finetune.tasks.tagging import Tagging, TokenClassifier
from tinylm.models.encoder.encoder import Encoder, EncoderConfig, without_head
from tinylm.nn.linear import fit_to_width
from tinylm.pretrain.batch import pad_rows
from tinylm.pretrain.masked.masked import MaskedLM
from tinylm.tokenizers import BPETokenizer
from tinylm.train.experiments.compare import ONLY_RUNS, Claim, mean_and_range

PIECES, LIMIT = 4000, 48  # of the vocabulary; of a sentence, the rest is cut
MASKED_STEPS, BATCH = 800, 16  # of pre-training; sentences
RATE = 2e-3
# Paired: both sides of a seed see the same sentences in the same order. A measure of 0 is that of
# a model that has found no name at all.
PRETRAINING = Claim("pre-training helps", "1.4.4", limit=1.0, floor=0.0)
SEQUENCE = Claim("beats choosing tag by tag", "1.4.4", limit=1.0, floor=0.0)
KINDS = "from random weights", "pre-trained"
# name: (with a CRF, answers that must be valid spans)
HEADS = {
    "tag by tag": (False, False),
    "tag by tag, BIO rules": (False, True),
    "CRF": (True, False),
    "CRF, BIO rules": (True, True),
}


@dataclass(frozen=True)
class Data:
    """A task: lists of (words, tags), and the measure that counts."""

    train: list
    test: list
    measure: str

    @property
    def tags(self):
        """All tags, O first if there is one: words that are cut off get the first."""
        seen = {tag for _, tags in self.train + self.test for tag in tags}
        return tuple(sorted(seen, key=lambda tag: (tag != "O", tag)))

    @property
    def heads(self):
        """Those of HEADS that differ for this task: parts of speech follow no rules of BIO."""
        return [head for head, (_, rules) in HEADS.items() if self.measure == "f1" or not rules]


def made_up(count, seed):
    """Sentences of a small grammar: (words, parts of speech, names as BIO).

    The words are nonsense; forty of them are both nouns and verbs.
    """
    rng = np.random.default_rng(seed)
    letters = ["ba", "do", "fi", "ku", "le", "mo", "na", "pi", "ro", "su", "ta", "ve"]
    words = np.random.default_rng(0)  # the same language for every seed
    new = lambda n, k=2: ["".join(words.choice(letters, k)) for _ in range(n)]  # noqa: E731
    nouns = new(150)
    adjectives = new(50)
    places = [w.title() for w in new(60, 3)]
    verbs = [*new(60), *nouns[:40]]
    people = [w.title() for w in new(80)]
    pick = lambda table: table[int(len(table) * rng.random() ** 2)]  # noqa: E731

    def thing():
        return [
            ("the", "DET", "O"),
            *[(pick(adjectives), "ADJ", "O")] * (rng.random() < 0.4),
            (pick(nouns), "NOUN", "O"),
        ]

    def person():
        kind = "company" if rng.random() < 0.3 else "person"
        name = [
            (pick(people), "PROPN", f"B-{kind}"),
            *[(pick(people), "PROPN", f"I-{kind}")] * (rng.random() < 0.6),
        ]
        return [*name, *[("Inc", "PROPN", f"I-{kind}")] * (kind == "company")]

    sentences = []
    for _ in range(count):
        # two in five subjects and one in five objects are names
        subject, target = (person() if rng.random() < share else thing() for share in (0.4, 0.2))
        if rng.random() < 0.4:
            where = [("in", "ADP", "O"), (pick(places), "PROPN", "B-place")]
        else:
            where = []
        rows = [*subject, (pick(verbs), "VERB", "O"), *target, *where, (".", "PUNCT", "O")]
        # rows of (word, part, name) -> three lists
        sentences.append(tuple(map(list, zip(*rows))))
    return sentences


def read_tasks(folder):
    """{"parts of speech": Data, "names": Data}, and what they are."""
    folder = Path(folder or "/nowhere")
    if (folder / "tagging").is_dir():
        folder = folder / "tagging"
    files = [
        folder / name
        for name in ("ud_en_ewt_dev.conllu.gz", "wnut17_train.conll.gz", "wnut17_dev.conll.gz")
    ]
    if not all(file.is_file() for file in files):
        train, test = made_up(2000, 1), made_up(500, 2)
        return {
            name: Data(*([(row[0], row[i]) for row in rows] for rows in (train, test)), measure)
            for i, name, measure in ((1, "parts of speech", "accuracy"), (2, "names", "f1"))
        }, "a made-up grammar"
    sentences = read_conllu(files[0])
    # four fifths to learn from
    cut = len(sentences) * 4 // 5
    return {
        "parts of speech": Data(sentences[:cut], sentences[cut:], "accuracy"),
        "names": Data(read_conll(files[1]), read_conll(files[2]), "f1"),
    }, "UD English EWT and WNUT 2017"


def most_frequent(data):
    """Measures {"accuracy", ...} of the oldest tagger: every word its most frequent tag."""
    counts, overall = {}, {}
    # word -> tag -> count, and tag -> count over all words
    for words, tags in data.train:
        for word, tag in zip(words, tags):
            for table in (counts.setdefault(word, {}), overall):
                table[tag] = table.get(tag, 0) + 1
    rest = max(overall, key=overall.get)
    best = {word: max(table, key=table.get) for word, table in counts.items()}
    answers = [[best.get(word, rest) for word in words] for words, _ in data.test]
    return Tagging(None, data.tags).measure(answers, data.test)


@dataclass(frozen=True)
class Masking:
    """Masked LM on rows of ids of any lengths, as a task for fit()."""

    objective: MaskedLM

    def make_batch(self, examples, rng):
        return self.objective.make_batch(pad_rows(examples, self.objective.special.pad)[0], rng)

    def loss(self, model, batch):
        return self.objective.loss(model, batch)


def new_encoder(special, seed, device):
    """The one encoder, norms first."""
    config = EncoderConfig(
        special.vocab_size,
        context=LIMIT,
        n_layer=2,
        n_head=4,
        d_model=64,
        segments=0,
        norm_placement="pre",
        norm_eps=1e-5,
        pooler=False,
        head="token",
        dropout=0.1,
    )
    return fit_to_width(Encoder(config, seed), config.d_model).to(device)


def pretrained(inputs, sentences, seed, steps, device):
    """State of an encoder after masked LM on sentences, and its last loss."""
    # without [CLS], which the objective puts in front
    rows = [inputs.word_row(words)[0][1:] for words, _ in sentences]
    model = new_encoder(inputs.special, seed, device)
    losses = fit(
        model,
        Masking(MaskedLM(inputs.special)),
        rows,
        steps=steps,
        batch_size=BATCH,
        learning_rate=RATE,
        seed=seed,
    )
    return model.state_dict(), losses[-100:].mean()


def run(tasks, seeds, steps, device):
    """{(task, kind of start, head): [measure of every seed]}."""
    results = {}
    sentences = [sentence for data in tasks.values() for sentence in data.train]
    # Each word is cut on its own, as it will be in the rows: so none is read with a space in front.
    marks = "[PAD]", "[CLS]", "[SEP]", "[MASK]"
    # word by word, so that a piece never crosses words
    tokenizer = BPETokenizer.train(["\n".join(words) for words, _ in sentences], PIECES, marks)
    inputs = EncoderInput.of(tokenizer, LIMIT)
    # One pre-training a seed serves all its models.
    for seed in seeds:
        state, loss = pretrained(inputs, sentences, seed, steps[0], device)
        guess = np.log(tokenizer.vocab_size)
        print(
            f"seed {seed}: masked LM ends at {loss:.2f} nats, guessing would be {guess:.2f}",
            flush=True,
        )
        for name, kind, crf in itertools.product(tasks, KINDS, (False, True)):
            # without a CRF, tags are chosen one by one, or by Viterbi under the rules of BIO
            data = tasks[name]
            encoder = new_encoder(inputs.special, seed, device)
            if kind == "pre-trained":
                encoder.load_state_dict(state)
            model = TokenClassifier(without_head(encoder), len(data.tags), crf, seed)
            task = Tagging(inputs, data.tags)
            fit(
                model,
                task,
                data.train,
                steps=steps[1],
                batch_size=BATCH,
                learning_rate=RATE,
                seed=seed,
            )
            for head in data.heads:
                # one training serves the heads that differ only in the rules of the answer
                if HEADS[head][0] == crf:
                    found = evaluate(model, replace(task, constrained=HEADS[head][1]), data.test)[
                        data.measure
                    ]
                    results.setdefault((name, kind, head), []).append(found)
    return results


def main():
    """Train, tag, print the tables and the verdicts."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--steps", type=int, default=200, help="of fine-tuning")
    parser.add_argument("--data", default=os.environ.get("TINYLM_DATA", ""))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--quick", action="store_true")
    args = parser.parse_args()
    tasks, source = read_tasks(args.data)
    steps = (MASKED_STEPS, args.steps)
    seeds = range(args.seed, args.seed + 3)
    if args.quick:
        steps, seeds = (100, 60), seeds[:2]
        print(ONLY_RUNS)
    started = time.process_time()
    print(
        f"{source}; {steps[0]} steps of masked LM, {steps[1]} of fine-tuning, "
        f"{BATCH} sentences each"
    )
    results = run(tasks, seeds, steps, args.device)
    for name, data in tasks.items():
        unit = {"accuracy": "accuracy over words", "f1": "F1 over whole names"}[data.measure]
        print(
            f"\n{name}: {len(data.train)} sentences to learn from, {len(data.test)} for testing; "
            f"{unit}, % (least .. most)"
        )
        oldest = 100 * most_frequent(data)[data.measure]
        print(f"    {'each word its most frequent tag':<48}{oldest:4.1f}")
        for head, kind in itertools.product(data.heads, KINDS):
            percent = 100 * np.array(results[name, kind, head])
            print(f"    {head + ', ' + kind:<48}{mean_and_range(percent, '4.1f')}")
    print()
    for name, data in tasks.items():
        for head in data.heads:
            from_random, pre_trained = (results[name, kind, head] for kind in KINDS)
            verdict = PRETRAINING.judge(pre_trained, from_random)
            print(f"{name}, {head}: {PRETRAINING.text}: {verdict}")
        for kind, head in itertools.product(KINDS, data.heads[1:]):
            verdict = SEQUENCE.judge(results[name, kind, head], results[name, kind, data.heads[0]])
            print(f"{name}, {kind}: {head} {SEQUENCE.text}: {verdict}")
    print(f"\n{time.process_time() - started:.0f} s of one core")


if __name__ == "__main__":
    main()
