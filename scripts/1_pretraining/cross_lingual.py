"""Two languages in one encoder: does it find translations, and does a task learnt in one carry
over? Book section 1.3.4.

Claims: one encoder with one vocabulary can serve several languages; translation LM, which masks a
sentence and its translation together, brings the languages nearer to each other than masked LM on
each alone; a classifier fine-tuned on English then works on the other language without a label in
it; and two languages in one model cost each of them something. Measured on verses of the Bible in
English and Spanish (`--data` or TINYLM_DATA: bitext/bible_en_es.tsv.gz), else on made-up English
and a made-up language with other words in another order. Retrieval: of 400 held-out verses, how
often is the translation the nearest (cosine of mean states of the middle layer, less the mean of
the language). Zero-shot: is a verse of the Old or the New Testament, fine-tuned on English, tested
in Spanish (made-up: is something "old" or "quiet" in it). Three seeds. About 7 minutes on one core;
--quick under two. `python scripts/1_pretraining/cross_lingual.py [--data FOLDER] [--seed N]
[--device D] [--quick]`.

Measured output (CPU, the Bible, mean and standard deviation over 3 seeds):

    19484 pairs to learn from, 400 held out; 500 steps of 16 pairs; a guess retrieves 0.0025
                                  there       and back    task in 1st      zero-shot  taught in 2nd
    masked LM            0.008 +- 0.004 0.009 +- 0.005 0.682 +- 0.015 0.494 +- 0.006 0.658 +- 0.002
    half translation LM  0.016 +- 0.001 0.021 +- 0.007 0.657 +- 0.034 0.513 +- 0.018 0.654 +- 0.019
    translation LM retrieves better, there (section 1.3.4): +0.0075 [+0.00129, +0.0137], 3 seeds:
      shows
    translation LM retrieves better, and back (section 1.3.4): +0.0117 [-0.00731, +0.0306], 3 seeds:
      too small to tell; 0.019 could have been seen
    translation LM helps zero-shot transfer (section 1.3.4): +0.0184 [-0.0255, +0.0622], 3 seeds:
      too small to tell; 0.044 could have been seen
    zero-shot transfer is better than a coin (section 1.3.4): +0.0127 [-0.0332, +0.0586], 3 seeds:
      too small to tell; 0.046 could have been seen
    masked LM in language 1: 6.150 +- 0.026 nats in a model of two
      a model of two languages is worse in this one than a model of its own (section 1.3.4): +0.0982
        [+0.0725, +0.124], 3 seeds: shows
    masked LM in language 2: 6.167 +- 0.032 nats in a model of two
      a model of two languages is worse in this one than a model of its own (section 1.3.4): +0.105
        [+0.0704, +0.139], 3 seeds: shows

After 500 steps masked LM has hardly begun to learn (6.1 nats of 8.3), so little of the claims can
show.
"""

import argparse
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tinylm.autograd import no_grad
from tinylm.backend import Random
from tinylm.data.read.labeled import read_columns
from tinylm.data.synthetic.junk import good_page
from tinylm.finetune import evaluate, fit
from tinylm.finetune.inputs import EncoderInput
from tinylm.finetune.tasks.classify import Classification
from tinylm.finetune.tasks.heads import Classifier
from tinylm.models.encoder.encoder import Encoder, EncoderConfig
from tinylm.models.published.sentence_encoder import mean_of_tokens, unit
from tinylm.nn.linear import fit_to_width
from tinylm.pretrain.batch import pad_rows
from tinylm.pretrain.languages import TranslationLM
from tinylm.pretrain.masked.masked import MaskedLM
from tinylm.pretrain.special import Special
from tinylm.tokenizers.bpe import BPETokenizer
from tinylm.train.experiments.compare import ONLY_RUNS, Claim, mean_and_sd

WORDS, LONGEST, HELD_OUT = 4000, 40, 400
SPECIAL = Special.after(WORDS, sentinels=0)
# Paired: both ways of a seed start from the same weights and see the same pairs.
THERE = Claim("translation LM retrieves better, there", "1.3.4", limit=1.0)
BACK = Claim("translation LM retrieves better, and back", "1.3.4", limit=1.0)
TRANSFER = Claim("translation LM helps zero-shot transfer", "1.3.4", limit=1.0)
# Half of the balanced verses are of either label.
ZERO_SHOT = Claim("zero-shot transfer is better than a coin", "1.3.4", limit=1.0)
COST = Claim("a model of two languages is worse in this one than a model of its own", "1.3.4")
NEW_TESTAMENT = """Matthew Mark Luke John Acts Romans Corinthians Galatians Ephesians Philippians
Colossians Thessalonians Timothy Titus Philemon Hebrews James Peter Jude Revelation""".split()


def load(folder):
    """Pairs of texts and a label of each: list of (English, other, 0 or 1)."""
    path = Path(folder or ".") / "bitext" / "bible_en_es.tsv.gz"
    if path.is_file():
        return [
            (english, spanish, int(any(name in place for name in NEW_TESTAMENT)))
            for place, english, spanish in read_columns(path, 0, 1, 2)
        ]
    rng, rows = np.random.default_rng(0), []
    # Made up: single sentences; the label is whether one of two words is among them.
    for _ in range(1500):
        for line in good_page(rng, 2).replace("\n\n", " ").split(". "):
            rows.append((line, foreign(line), int("old" in line or "quiet" in line)))
    return rows


def foreign(text):
    """Every word in another spelling, neighbors in another order."""
    words = [
        # 13 letters on; capitals have gone with lower()
        "".join(chr((ord(c) - 97 + 13) % 26 + 97) if c.islower() else c for c in word)
        for word in text.lower().split()
    ]
    # i ^ 1 swaps neighbors 0-1, 2-3, ..; a last odd word stays
    return " ".join(words[i ^ 1] if i ^ 1 < len(words) else words[i] for i in range(len(words)))


@dataclass(frozen=True)
class Languages:
    """The task of pre-training on aligned pairs (first, second) of ids.

    sides        0, 1: masked LM on texts of these languages, one after the other
    translation  share of the batches that are translation LM instead
    """

    sides: tuple = (0, 1)
    translation: float = 0.0
    masked = MaskedLM(SPECIAL)

    def make_batch(self, pairs, rng):
        """-> TokenBatch: texts of each side as rows of their own, or pairs packed as rows."""
        if float(rng.uniform((), np.float64)) < self.translation:
            return TranslationLM(self.masked, restart=True).make_batch(pairs, rng)
        # (sides x pairs, T): one language in each row
        texts, _ = pad_rows([pair[side] for side in self.sides for pair in pairs], SPECIAL.pad)
        return self.masked.make_batch(texts, rng)

    def loss(self, model, batch):
        """Mean over masked tokens."""
        return self.masked.loss(model, batch)


def pretrained(task, pairs, steps, seed, options, d_model=64):
    """An encoder that has read pairs for some steps of 16 pairs."""
    config = EncoderConfig(
        SPECIAL.vocab_size,
        2 * LONGEST + 3,
        n_layer=3,
        n_head=4,
        d_model=d_model,
        segments=0,
        pooler=False,
        norm_placement="pre",
        norm_eps=1e-5,
        dropout=0.0,
    )
    model = fit_to_width(Encoder(config, seed), d_model).to(options.device)
    fit(model, task, pairs, steps=steps, batch_size=16, learning_rate=1e-3, seed=seed)
    return model


def vectors(model, texts, layer):
    """Unit vectors of texts of ids: mean states after `layer` blocks, (n, D)."""
    found = []
    with no_grad():
        # batches of 50, padded to the longest of each
        for start in range(0, len(texts), 50):
            ids, mask = pad_rows(
                [[SPECIAL.cls, *text] for text in texts[start : start + 50]], SPECIAL.pad
            )
            states = [h.numpy() for h in model.layers(ids, mask=mask)]
            found.append(mean_of_tokens(states[layer], mask))
    found = np.concatenate(found)
    # What all texts of a language share is no help in finding a translation.
    return unit(found - found.mean(axis=0))


def retrieval(model, pairs):
    """How often the nearest text of the other language is the translation: there and back."""
    # middle layer: the last one is busy with predicting tokens of one language
    layer = model.config.n_layer // 2
    # (n, D) each, row i of both a translation
    first, second = (vectors(model, [pair[side] for pair in pairs], layer) for side in (0, 1))
    scores, right = first @ second.T, np.arange(len(pairs))  # (n, n) cosines
    there = float(np.mean(scores.argmax(axis=1) == right))
    back = float(np.mean(scores.argmax(axis=0) == right))
    return there, back


def zero_shot(model, train, test, seed, steps):
    """Accuracies of classifiers fine-tuned on one language and tested on one.

    returns  taught and tested in the first; taught in the first, tested in the second; taught and
             tested in the second
    """
    task = Classification(EncoderInput(SPECIAL, limit=LONGEST + 2))
    accuracies = []
    # Both classifiers start from the encoder as pre-trained, and it is restored in the end.
    state = model.state_dict()
    for taught in (0, 1):
        model.load_state_dict(state)
        classifier = Classifier(model, 2, "mean", seed)
        fit(
            classifier,
            task,
            [(row[taught], row[2]) for row in train],
            steps=steps,
            batch_size=32,
            learning_rate=3e-4,
            seed=seed,
        )
        accuracies.append(
            [
                evaluate(classifier, task, [(row[side], row[2]) for row in test])["accuracy"]
                for side in (0, 1)
            ]
        )
    model.load_state_dict(state)
    (first, zero_shot_second), (_, second) = accuracies
    return first, zero_shot_second, second


def losses(model, test):
    """Mean loss of masked LM in each language, always with the same masks."""
    found = []
    with no_grad():
        for side in (0, 1):
            # The seed 0 fixes the masks: all models predict the same tokens.
            task = Languages((side,))
            found.append(task.loss(model, task.make_batch(test[:200], Random(0)))[0].item())
    return found


def prepared(options):
    """Rows (ids, ids, label) that are not too long: for learning, and held out."""
    rows = load(options.data)
    # one vocabulary for both languages
    tokenizer = BPETokenizer.train((text for row in rows for text in row[:2]), WORDS, special=())
    rows = [
        (tokenizer.encode(a).tolist(), tokenizer.encode(b).tolist(), label) for a, b, label in rows
    ]
    rows = [
        # no headings, and nothing that is cut
        row
        for row in rows
        if 4 <= min(map(len, row[:2])) and max(map(len, row[:2])) <= LONGEST
    ]
    order = np.random.default_rng(0).permutation(len(rows))
    return [rows[i] for i in order[HELD_OUT:]], [rows[i] for i in order[:HELD_OUT]]


def balanced(rows):
    """As many rows of one label as of the other."""
    ones, zeros = ([row for row in rows if row[2] == label] for label in (1, 0))
    # so that a guess is right in half of them
    n = min(len(ones), len(zeros))
    return ones[:n] + zeros[:n]


def main(argv=None):
    """Train one model for each way and seed, print what each finds, and the verdicts."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--data", default=os.environ.get("TINYLM_DATA", ""))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args(argv)
    if options.quick:
        print(ONLY_RUNS)
    train, test = prepared(options)
    # without labels
    pairs, steps = [row[:2] for row in train], 500
    seeds = range(options.seed, options.seed + 3)
    if options.quick:
        seeds, steps = seeds[:2], 40
    print(
        f"{len(train)} pairs to learn from, {len(test)} held out; {steps} steps of 16 pairs; "
        f"a guess retrieves {1 / len(test):.4f}"
    )
    # half of the batches in the second: as many steps for both
    ways = {"masked LM": Languages(), "half translation LM": Languages(translation=0.5)}
    heads = "there", "and back", "task in 1st", "zero-shot", "taught in 2nd"
    print(" " * 20 + "".join(f"{head:>15}" for head in heads))
    found = {}
    for name, task in ways.items():
        rows = []
        for seed in seeds:
            model = pretrained(task, pairs, steps, seed, options)
            rows.append(
                [
                    *retrieval(model, test),
                    *zero_shot(model, balanced(train)[::5], balanced(test), seed, steps // 8),
                    *losses(model, pairs_of(test)),
                ]
            )
        found[name] = np.array(rows)  # (seeds, 7): five scores, two losses
        cells = [mean_and_sd(column) for column in found[name].T[:5]]
        print(f"{name:20}" + "".join(f"{cell:>15}" for cell in cells), flush=True)
    # a model for each language that reads as much of it as a model of both does
    alone = [
        [
            losses(pretrained(Languages((side,)), pairs, steps, seed, options), pairs_of(test))[
                side
            ]
            for seed in seeds
        ]
        for side in (0, 1)
    ]
    verdicts(found, alone)


def pairs_of(rows):
    """The texts of rows, without labels."""
    return [row[:2] for row in rows]


def verdicts(found, alone):
    """Print the verdicts.

    found  way -> (seeds, 7): as main() measures them;  alone  losses (2 languages, seeds)
    """
    masked = found["masked LM"]
    translation = found["half translation LM"]
    for claim, column in ((THERE, 0), (BACK, 1), (TRANSFER, 3)):
        print(claim.line(translation[:, column], masked[:, column]))
    print(ZERO_SHOT.line(translation[:, 3], 0.5))
    for side in (0, 1):
        both = masked[:, 5 + side]
        print(f"masked LM in language {side + 1}: {mean_and_sd(both)} nats in a model of two")
        print(f"  {COST.line(both, alone[side])}")


if __name__ == "__main__":
    main()
