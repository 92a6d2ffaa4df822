"""Is pre-training worth it, with how many labels, and which kind? Book sections 1.1, 1.2, 1.4.1.

Claims: a model pre-trained on unlabeled text needs fewer labels than one that starts from random
weights; masked language modeling (BERT) suits classification better than causal (GPT);
replaced-token detection (ELECTRA) gets more out of the same compute than masked LM; for
encoder-decoders, spans behind sentinels (T5) more than reconstructing a text with masked tokens
(denoise). All are transformers of one size and read the same unlabeled text in the same order until
each has cost as many floating-point operations, counted, as 500 steps of BERT. Then they are
fine-tuned on 10, 30 and 100 % of the labels, and so is one of each kind that has read nothing.
Beside them: naive Bayes on bags of words, and, where its package is installed, a linear layer on
the frozen vectors of a published encoder of 22 million parameters (all-MiniLM-L6-v2). `python
scripts/1_pretraining/sentiment.py [--kinds BERT,GPT] [--steps 500] [--data FOLDER] [--seed N]
[--device D] [--quick]`; kinds: BERT, GPT, ELECTRA, T5, denoise, each compared with the first. The
folder (or TINYLM_DATA) has sentiment/*.txt (sentence, tab, 0 or 1) and, to be read without labels,
bitext/*.tsv.gz (second column) and corpus/*.txt; without it, made-up reviews. A fifth of the
reviews is for testing. Five seeds for labels, new weights and order; pre-training runs once. About
4 minutes on one core; --quick under one.

Measured output (CPU; reviews of Kotzias et al. 2015, unlabeled text from the Bible and
Shakespeare), of --kinds BERT,GPT,ELECTRA and below of T5,denoise:

    2400 labeled reviews, 600 for testing; unlabeled text of 1,500,912 tokens
      BERT: 628,989 parameters, 500 steps of 16 rows of 48 tokens, loss 8.22 -> 6.16, 31 s
      GPT: 615,264 parameters, 247 steps of 16 rows of 48 tokens, loss 8.04 -> 5.60, 18 s
      ELECTRA: 695,086 parameters, 396 steps of 16 rows of 48 tokens, loss 34.15 -> 27.37, 32 s
    accuracy, mean +- sd         10% of labels     30% of labels    100% of labels
    bag of words                0.663 +- 0.014    0.730 +- 0.021    0.790 +- 0.000
    BERT from scratch           0.590 +- 0.011    0.582 +- 0.036    0.672 +- 0.012
    BERT pre-trained            0.596 +- 0.024    0.596 +- 0.015    0.669 +- 0.014
    GPT from scratch            0.578 +- 0.021    0.579 +- 0.036    0.659 +- 0.024
    GPT pre-trained             0.573 +- 0.019    0.567 +- 0.034    0.682 +- 0.029
    ELECTRA from scratch        0.590 +- 0.011    0.582 +- 0.036    0.672 +- 0.012
    ELECTRA pre-trained         0.536 +- 0.012    0.534 +- 0.011    0.594 +- 0.024
    published encoder           0.848 +- 0.023    0.861 +- 0.008    0.895 +- 0.004
    pre-training helps BERT
      10% labels: +0.006 [-0.0454, +0.0574], 5 seeds: too small to tell; 0.051 could have been seen
      30% labels: +0.0137 [-0.0456, +0.073], 5 seeds: too small to tell; 0.059 could have been seen
      100% labels: -0.003 [-0.0441, +0.0381], 5 seeds: too small to tell; 0.041 could have been seen
    pre-training helps GPT
      10% labels: -0.005 [-0.0544, +0.0444], 5 seeds: too small to tell; 0.049 could have been seen
      30% labels: -0.0123 [-0.0806, +0.056], 5 seeds: too small to tell; 0.068 could have been seen
      100% labels: +0.0223 [-0.0242, +0.0689], 5 seeds: too small to tell; 0.047 could have been
        seen
    pre-training helps ELECTRA
      10% labels: -0.054 [-0.0938, -0.0142], 5 seeds: shows the opposite
      30% labels: -0.0483 [-0.101, +0.00448], 5 seeds: too small to tell; 0.053 could have been seen
      100% labels: -0.0773 [-0.123, -0.0321], 5 seeds: shows the opposite
    BERT suits classification better than GPT
      10% labels: +0.0233 [-0.0325, +0.0792], 5 seeds: too small to tell; 0.056 could have been seen
      30% labels: +0.029 [-0.0138, +0.0718], 5 seeds: too small to tell; 0.043 could have been seen
      100% labels: -0.013 [-0.0649, +0.0389], 5 seeds: too small to tell; 0.052 could have been seen
    ELECTRA suits classification better than BERT
      10% labels: -0.06 [-0.0926, -0.0274], 5 seeds: shows the opposite
      30% labels: -0.062 [-0.0821, -0.0419], 5 seeds: shows the opposite
      100% labels: -0.0743 [-0.132, -0.0165], 5 seeds: shows the opposite
    the published encoder beats the best of these
      10% labels: +0.249 [+0.205, +0.293], 5 seeds: shows
      30% labels: +0.265 [+0.228, +0.302], 5 seeds: shows
      100% labels: +0.207 [+0.159, +0.256], 5 seeds: shows

      T5: 658,272 parameters, 614 steps of 16 rows of 48 tokens, loss 8.20 -> 3.97, 29 s
      denoise: 658,272 parameters, 220 steps of 16 rows of 48 tokens, loss 8.25 -> 5.87, 20 s
    accuracy, mean +- sd         10% of labels     30% of labels    100% of labels
    T5 from scratch             0.578 +- 0.020    0.582 +- 0.022    0.671 +- 0.008
    T5 pre-trained              0.548 +- 0.023    0.554 +- 0.031    0.643 +- 0.021
    denoise from scratch        0.578 +- 0.020    0.582 +- 0.022    0.671 +- 0.008
    denoise pre-trained         0.511 +- 0.014    0.546 +- 0.048    0.639 +- 0.051
    pre-training helps T5
      10% labels: -0.03 [-0.0829, +0.0229], 5 seeds: too small to tell; 0.053 could have been seen
      30% labels: -0.028 [-0.0539, -0.00215], 5 seeds: shows the opposite
      100% labels: -0.0283 [-0.055, -0.00168], 5 seeds: shows the opposite
    pre-training helps denoise
      10% labels: -0.0673 [-0.124, -0.0111], 5 seeds: shows the opposite
      30% labels: -0.036 [-0.102, +0.03], 5 seeds: too small to tell; 0.066 could have been seen
      100% labels: -0.0317 [-0.109, +0.0454], 5 seeds: too small to tell; 0.077 could have been seen
    T5 suits classification better than denoise
      10% labels: +0.0373 [-0.011, +0.0857], 5 seeds: too small to tell; 0.048 could have been seen
      30% labels: +0.008 [-0.0401, +0.0561], 5 seeds: too small to tell; 0.048 could have been seen
      100% labels: +0.00333 [-0.0647, +0.0714], 5 seeds: too small to tell; 0.068 could have been
        seen

At this size pre-training does not help, for ELECTRA, T5 and denoise it does
harm with some share, and words counted do better than any network that has read so little; what has
read a billion sentences does better than both, frozen. A longer budget than 500 steps has not been
measured. T5 was first fine-tuned to write the label as text; in so few steps it wrote nearly always
the same (0.500 to 0.557), so the encoders of encoder-decoders were given a classifier like the
others: a choice made after seeing figures.
"""

import argparse
import os
import time
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from tinylm.autograd.engine.profile import count_operations
from tinylm.backend import Random
from tinylm.data.read.labeled import read_columns, read_labeled, share_of
from tinylm.data.synthetic.reviews import made_up_reviews
from tinylm.errors import MissingExtra
from tinylm.finetune import evaluate, fit
from tinylm.finetune.inputs import EncoderInput
from tinylm.finetune.tasks.classify import Classification
from tinylm.finetune.tasks.heads import Classifier
from tinylm.finetune.tasks.probe import Probe, VectorClassification
from tinylm.models.decoder.gpt import GPT, GPTConfig
from tinylm.models.encoder.encoder import Electra, Encoder, EncoderConfig
from tinylm.models.encoder.seq2seq import Seq2Seq, Seq2SeqConfig
from tinylm.models.published.sentence_encoder import load_sentence_encoder
from tinylm.nn.linear import fit_to_width
from tinylm.pretrain.early.naive_bayes import naive_bayes
from tinylm.pretrain.objectives import objective
from tinylm.pretrain.special import Special
from tinylm.tokenizers.bpe import BPETokenizer
from tinylm.train.experiments.compare import ONLY_RUNS, Claim, mean_and_sd, together

SIZE = {"n_layer": 2, "n_head": 4, "d_model": 96, "dropout": 0.0}
GENERATOR = {"d_model": 48, "n_head": 2, "d_embed": SIZE["d_model"]}  # of ELECTRA: half as wide
T = 48
B = 16
WORDS = 4000
SHARES = (0.1, 0.3, 1.0)
READ = 24  # tokens of a review
SPECIAL = Special.after(WORDS, sentinels=20)
# a GPT answers at [SEP], after the text
ENDS_ONLY = Special(SPECIAL.vocab_size, sep=SPECIAL.sep, pad=SPECIAL.pad)
# Accuracies, paired by the seed of labels, new weights and order. Each claim is judged with every
# share of the labels, at a level at which all three intervals hold at once.
PRETRAINING = Claim("pre-training helps", "1.1", limit=1.0)
KIND = Claim("suits classification better", "1.2", limit=1.0)
PUBLISHED = Claim("the published encoder beats the best of these", "1.4.1", limit=1.0)


def encoder(head, **changes):
    """An encoder without segments and pooler, norms first as in the GPT."""
    config = {
        **SIZE,
        "segments": 0,
        "pooler": False,
        "norm_placement": "pre",
        "norm_eps": 1e-5,
        "context": T + 2,
        **changes,
    }
    return EncoderConfig(SPECIAL.vocab_size, head=head, **config)


def seq2seq(seed):
    """As many layers as the others, one of them in the decoder."""
    sizes = {**SIZE, "n_layer": 1, "n_decoder_layer": 1}
    return Seq2Seq(
        Seq2SeqConfig(
            SPECIAL.vocab_size, T + 2, norm_placement="pre", start=SPECIAL.start, **sizes
        ),
        seed,
    )


@dataclass(frozen=True)
class Kind:
    """A way to pre-train: the objective's name, a model by seed, and what of it is fine-tuned with
    which [CLS] and [SEP].

    pool  how the states become one vector; of an encoder-decoder those of its encoder
    """

    objective: str
    model: object
    part: object
    special: Special = SPECIAL
    pool: str = "mean"


KINDS = {
    # The first state has learnt nothing from masked LM; the mean of all does better here.
    "BERT": Kind("masked", lambda seed: Encoder(encoder("token"), seed), lambda m: m),
    # A causal model has read the whole text only at its end: [SEP], without [CLS].
    "GPT": Kind(
        "causal",
        lambda seed: GPT(GPTConfig(SPECIAL.vocab_size, T, activation="gelu", **SIZE), seed),
        lambda m: m,
        ENDS_ONLY,
        "last",
    ),
    # the generator is for pre-training only
    "ELECTRA": Kind(
        "replaced",
        lambda seed: Electra(encoder("replaced"), encoder("token", **GENERATOR), seed),
        lambda m: m.discriminator,
    ),
    "T5": Kind("sentinels", seq2seq, lambda m: m),
    "denoise": Kind("token-masking", seq2seq, lambda m: m),
}


def load(folder):
    """Labeled examples, and more sentences without labels."""
    files = sorted(Path(folder).glob("sentiment/*.txt")) if folder else []
    if not files:
        return made_up_reviews(3000), [text for text, _ in made_up_reviews(20000, seed=1)]
    # to be read without labels: English verses, and plays
    verses = [
        text
        for path in sorted(Path(folder).glob("bitext/*.tsv.gz"))
        for (text,) in read_columns(path, 1)
    ]
    corpus = [
        part
        for path in sorted(Path(folder).glob("corpus/*.txt"))
        for part in path.read_text("utf-8").split("\n\n")
    ]
    return (
        [(text.lower(), label) for path in files for text, label in read_labeled(path)],
        [text.lower() for text in verses + corpus],
    )


def fresh(kind, seed):
    """A new model, with initial weights for its width."""
    return fit_to_width(kind.model(seed), SIZE["d_model"])


def step_cost(kind, rows):
    """Floating-point operations of one step of pre-training, forward and backward, as executed."""
    model = kind.model(0)
    task = objective(kind.objective, SPECIAL)
    with count_operations() as counts:
        loss, _ = task.loss(model, task.make_batch(rows[:B], Random(0)))
        # matmul_flops() counts the forward pass, backward_flops() its gradients
        loss.backward()
    return counts.matmul_flops() + counts.backward_flops()


def pretrained(name, rows, options):
    """The parameters of a kind that has read rows until the budget was spent."""
    kind = KINDS[name]
    model = fresh(kind, options.seed).to(options.device)
    task = objective(kind.objective, SPECIAL)
    # as many steps as fit into the common budget of operations
    started = time.perf_counter()
    steps = round(options.budget / step_cost(kind, rows))
    losses = fit(
        model, task, rows, steps=steps, batch_size=B, learning_rate=1e-3, seed=options.seed
    )
    print(
        f"  {name}: {model.count_parameters():,} parameters, "
        f"{steps} steps of {B} rows of {T} tokens, loss "
        f"{losses[:20].mean():.2f} -> {losses[-50:].mean():.2f}, {time.perf_counter() - started:.0f} s",
        flush=True,
    )
    return model.state_dict()


def fine_tuned(kind, state, tokenizer, train, test, seed, options):
    """Accuracy on the test reviews after fine-tuning from a state; None: from random weights."""
    # other weights than those that were pre-trained
    model = fresh(kind, seed + 1)
    if state is not None:
        model.load_state_dict(state)
    model = Classifier(kind.part(model), 2, kind.pool, seed).to(options.device)
    task = Classification(EncoderInput(kind.special, tokenizer, READ))
    # One epoch, or 60 steps: few labels are read more often.
    steps = max(60, len(train) // 16)
    if options.quick:
        steps = 10
    # weights, order and labels by the same seed
    fit(model, task, train, steps=steps, batch_size=16, learning_rate=5e-4, seed=seed)
    return evaluate(model, task, test)["accuracy"]


def bag_of_words(tokenizer, train, test):
    """Accuracy of naive Bayes on the pieces of the texts."""
    train, test = (
        [(tokenizer.encode(text), label) for text, label in part] for part in (train, test)
    )
    answers = naive_bayes(WORDS, 2)(train)([ids for ids, _ in test]).argmax(axis=1)
    return float(np.mean(answers == [label for _, label in test]))


class FrozenVectors:
    """Vectors of a published encoder, each text's computed once, and a linear layer trained on some
    of them.
    """

    def __init__(self, texts):
        encode = load_sentence_encoder("minilm")
        # sorted, so that the rows of a batch are of like length and little is padding
        order = sorted(set(texts), key=len)
        # (32, D) a batch, with D of the published encoder
        parts = [encode(order[i : i + 32]) for i in range(0, len(order), 32)]
        self.vectors = dict(zip(order, np.concatenate(parts)))

    def accuracy(self, train, test, seed):
        """Of the layer trained on the first examples, on the second."""
        train, test = (
            [(self.vectors[text], label) for text, label in part] for part in (train, test)
        )
        probe = Probe(len(train[0][0]), 2, seed=seed)
        task = VectorClassification()
        fit(probe, task, train, steps=400, batch_size=64, learning_rate=0.05, seed=seed)
        return evaluate(probe, task, test)["accuracy"]


def all_ways(kinds, states, tokenizer, labeled, test, options):
    """Name -> function of (train examples, seed) that gives an accuracy."""
    ways = {"bag of words": lambda part, seed: bag_of_words(tokenizer, part, test)}
    for name in kinds:
        # Defaults in the lambda bind the loop's values.
        for how, state in (("from scratch", None), ("pre-trained", states[name])):
            ways[f"{name} {how}"] = lambda part, seed, kind=KINDS[name], state=state: fine_tuned(
                kind, state, tokenizer, part, test, seed, options
            )
    try:
        vectors = FrozenVectors([text for text, _ in labeled])
        ways["published encoder"] = lambda part, seed: vectors.accuracy(part, test, seed)
    except MissingExtra as missing:
        print(f"  no published encoder: {missing}")
    return ways


def report(ways, kinds, train, seeds):
    """Accuracies by way and share of the labels, and the verdicts."""
    print(
        f"{'accuracy, mean +- sd':24}"
        + "".join(f"{f'{share:.0%} of labels':>18}" for share in SHARES)
    )
    found = {}
    for name, way in ways.items():
        # (shares, seeds)
        # labels are drawn anew by each seed
        found[name] = np.array(
            [[way(share_of(train, share, seed)[0], seed) for seed in seeds] for share in SHARES]
        )
        print(
            f"{name:24}" + "".join(f"{mean_and_sd(row):>18}" for row in found[name]),
            flush=True,
        )
    for name in kinds:
        print(f"{PRETRAINING.text} {name}")
        judge(PRETRAINING, found[f"{name} pre-trained"], found[f"{name} from scratch"])
    for name in kinds[1:]:
        # ELECTRA is to beat the first kind, the others are to be beaten by it.
        pair = (name, kinds[0]) if name == "ELECTRA" else (kinds[0], name)
        print(f"{pair[0]} {KIND.text} than {pair[1]}")
        judge(KIND, *(found[f"{each} pre-trained"] for each in pair))
    if "published encoder" in found:
        # the best in each seed, which favors these
        best = np.max([found[f"{name} pre-trained"] for name in kinds], axis=0)
        print(PUBLISHED.text)
        judge(PUBLISHED, found["published encoder"], best)


def judge(claim, claimed, other):
    """Print the verdict with each share of the labels. claimed, other: (shares, seeds)."""
    for each, share, a, b in zip(together([claim] * len(SHARES)), SHARES, claimed, other):
        print(f"  {share:.0%} labels: {each.judge(a, b)}")


def main(argv=None):
    """Pre-train each kind once, fine-tune on every share and seed, print table and verdicts."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--kinds", default="BERT,GPT")
    parser.add_argument("--steps", type=int, default=500, help="of BERT's pre-training")
    parser.add_argument("--data", default=os.environ.get("TINYLM_DATA", ""))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args(argv, SimpleNamespace())
    if options.quick:
        print(ONLY_RUNS)
    kinds = options.kinds.split(",")
    seeds = range(options.seed, options.seed + (2 if options.quick else 5))
    # four fifths to learn from; the split is the same for all seeds
    labeled, unlabeled = load(options.data)
    train, test = share_of(labeled, 0.8, 0)
    texts = [text for text, _ in train] * 3 + unlabeled  # no test review is read in advance
    texts = [texts[i] for i in Random(options.seed, "texts").permutation(len(texts))]
    tokenizer = BPETokenizer.train(texts, WORDS, special=())
    stream = np.concatenate([np.append(tokenizer.encode(text), SPECIAL.sep) for text in texts])
    # (n, T): text after text, [SEP] after each
    rows = stream[: len(stream) // T * T].reshape(-1, T)
    print(
        f"{len(train)} labeled reviews, {len(test)} for testing; "
        f"unlabeled text of {rows.size:,} tokens",
        flush=True,
    )
    options.budget = step_cost(KINDS["BERT"], rows) * (40 if options.quick else options.steps)
    states = {name: pretrained(name, rows, options) for name in kinds}
    report(all_ways(kinds, states, tokenizer, labeled, test, options), kinds, train, seeds)


if __name__ == "__main__":
    main()
