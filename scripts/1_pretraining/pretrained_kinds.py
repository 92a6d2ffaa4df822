"""Five ways to pre-train models of one size on one text, for sentiment.py and masked_or_causal.py.

Masked LM (BERT), causal LM (GPT), replaced-token detection (ELECTRA), spans behind sentinels (T5)
and reconstruction of masked tokens (denoise; BART's simplest), each with the same text in the same
order, and the same floating-point operations, counted as executed. All see distances and no places:
encoders and the GPT turn queries and keys, encoder-decoders have T5's biases (masked_or_causal.py
says why). Weights are taken along the way, as a running mean (Polyak & Juditsky 1992): without it
the rate would have to fall before each.
"""

import itertools
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tinylm.autograd.engine.profile import count_operations
from tinylm.backend import Random
from tinylm.data.read.labeled import read_columns, read_labeled, read_lines, share_of
from tinylm.data.synthetic.reviews import made_up_reviews
from tinylm.finetune.fitting import Shuffled
from tinylm.models.decoder.gpt import GPT, GPTConfig
from tinylm.models.encoder.encoder import Electra, Encoder, EncoderConfig
from tinylm.models.encoder.seq2seq import Seq2Seq, Seq2SeqConfig
from tinylm.nn.linear import fit_to_width
from tinylm.optim import AdamW, FlatParameters
from tinylm.optim.average import Averaged
from tinylm.optim.schedule import warm_up
from tinylm.pretrain.objectives import objective
from tinylm.pretrain.special import Special
from tinylm.tokenizers.bpe import BPETokenizer
from tinylm.train.evaluation import evaluate
from tinylm.train.trainer import Trainer

SIZE = {"n_layer": 4, "n_head": 4, "d_model": 128, "dropout": 0.1}
GENERATOR = {"d_model": 64, "n_head": 2, "d_embed": SIZE["d_model"]}  # of ELECTRA: half as wide
T, B, WORDS = 64, 16, 4000  # tokens of a row, rows of a step, pieces of the vocabulary
RATE, WARM_UP, DECAY, MEAN = 1e-3, 500, 0.01, 0.998
SPECIAL = Special.after(WORDS, sentinels=20)
# a GPT answers at [SEP], after the text
ENDS_ONLY = Special(SPECIAL.vocab_size, sep=SPECIAL.sep, pad=SPECIAL.pad)
HELD_OUT = 200  # rows whose loss is measured, read by none


@dataclass(frozen=True)
class Kind:
    """A way to pre-train: the objective or its name, a model by seed, and what of it is fine-tuned
    with which [CLS] and [SEP].
    """

    objective: object
    model: object
    part: object = lambda model: model
    special: Special = SPECIAL


def encoder(head, **changes):
    """An encoder without segments and pooler, norms first as in the GPT."""
    config = {
        **SIZE,
        "segments": 0,
        "pooler": False,
        "norm_placement": "pre",
        "norm_eps": 1e-5,
        "positions": "rope",
        "context": T + 2,
        **changes,
    }
    return EncoderConfig(SPECIAL.vocab_size, head=head, **config)


def seq2seq(seed):
    """As many layers as the others, half of them in the decoder."""
    half = SIZE["n_layer"] // 2
    sizes = {**SIZE, "n_layer": half, "n_decoder_layer": half}
    config = Seq2SeqConfig(
        SPECIAL.vocab_size,
        T + 2,
        norm_placement="pre",
        positions="t5",
        start=SPECIAL.start,
        **sizes,
    )
    return Seq2Seq(config, seed)


def gpt(seed, positions="rope"):
    """A GPT of the size of the others."""
    return GPT(
        GPTConfig(SPECIAL.vocab_size, T, activation="gelu", positions=positions, **SIZE), seed
    )


KINDS = {
    "BERT": Kind("masked", lambda seed: Encoder(encoder("token"), seed)),
    # A causal model has read a text only at its end: it gets no [CLS].
    "GPT": Kind("causal", gpt, special=ENDS_ONLY),
    # the generator is for pre-training only
    "ELECTRA": Kind(
        "replaced",
        lambda seed: Electra(encoder("replaced"), encoder("token", **GENERATOR), seed),
        lambda model: model.discriminator,
    ),
    "T5": Kind("sentinels", seq2seq),
    "denoise": Kind("token-masking", seq2seq),
}


def fresh(kind, seed):
    """A new model, with initial weights for its width."""
    return fit_to_width(kind.model(seed), SIZE["d_model"])


def task_of(kind):
    """The objective of a kind: a name, or the objective itself."""
    if isinstance(kind.objective, str):
        return objective(kind.objective, SPECIAL)
    return kind.objective


@dataclass(frozen=True)
class Text:
    """What is read, and what is to be learnt from it.

    train, test  labeled reviews, lists of (text, 0 or 1)
    rows         (n, T) ids: text after text, [SEP] after each
    held_out     (HELD_OUT, T) others, from which no model learns
    name         what distinguishes it from other texts, for cells
    """

    train: list
    test: list
    tokenizer: BPETokenizer
    rows: np.ndarray
    held_out: np.ndarray
    name: str


def read_text(folder):
    """The Text of a folder, or of made-up reviews without one. No test review is read in advance.

    folder  has sentiment/*.txt (sentence, tab, 0 or 1) and, without labels,
            corpus/reviews_unlabelled.txt.gz, bitext/bible_en_es.tsv.gz and corpus/*.txt
    """
    files = sorted(Path(folder).glob("sentiment/*.txt")) if folder else []
    if files:
        labeled = [(text.lower(), label) for path in files for text, label in read_labeled(path)]
        unlabeled = list(_unlabeled(Path(folder)))
    else:
        labeled = made_up_reviews(3000)
        unlabeled = [text for text, _ in made_up_reviews(20000, seed=1)]
    # four fifths to learn from; the split is the same for all seeds
    train, test = share_of(labeled, 0.8, 0)
    texts = [text for text, _ in train] + unlabeled
    texts = [texts[i] for i in Random(0, "texts").permutation(len(texts))]
    tokenizer = BPETokenizer.train(texts, WORDS, special=())
    stream = np.concatenate([np.append(tokenizer.encode(text), SPECIAL.sep) for text in texts])
    rows = stream[: len(stream) // T * T].reshape(-1, T)
    source = "reviews of the folder" if files else "made-up reviews"
    name = f"{source}, {rows.size} tokens, {len(train)} labels"
    return Text(train, test, tokenizer, rows[HELD_OUT:], rows[:HELD_OUT], name)


def _unlabeled(folder):
    """Texts like the reviews first, then verses and plays."""
    reviews = folder / "corpus" / "reviews_unlabelled.txt.gz"
    if reviews.exists():
        yield from (line.lower() for line in read_lines(reviews))
    for path in sorted(folder.glob("bitext/bible_en_es.tsv.gz")):
        yield from (text.lower() for (text,) in read_columns(path, 1))
    for path in sorted(folder.glob("corpus/*.txt")):
        yield from (part.lower() for part in path.read_text("utf-8").split("\n\n"))


def step_cost(kind, rows):
    """Floating-point operations of one step of pre-training, forward and backward, as executed."""
    model = kind.model(0)
    task = task_of(kind)
    with count_operations() as counts:
        loss, _ = task.loss(model, task.make_batch(rows[:B], Random(0)))
        # matmul_flops() counts the forward pass, backward_flops() its gradients
        loss.backward()
    return counts.matmul_flops() + counts.backward_flops()


class Held:
    """Held-out rows in batches, as evaluate() reads them."""

    def __init__(self, rows):
        self.rows = rows

    def batches(self, size):
        return (self.rows[i : i + size] for i in range(0, len(self.rows), size))


def pretrain(kind, text, stops, seed, device="cpu", say=None):
    """Train one Kind and stop along the way.

    stops    increasing numbers of steps
    say      called as say(step, loss of it) after each step
    yields   (steps done, mean training loss since the last stop, held-out loss, model); the model's
             weights are the running mean until the next is asked for
    """
    model, task = fresh(kind, seed).to(device), task_of(kind)
    optimizer = Averaged(AdamW(FlatParameters(model.parameters()), weight_decay=DECAY), MEAN)
    batches = Shuffled(text.rows, B, seed)
    # rows of one step as an array
    read = lambda *place: np.stack(batches.batch(*place))  # noqa: E731
    rate = lambda step: RATE * warm_up(step, WARM_UP)  # noqa: E731
    trainer = Trainer(model, task, optimizer, read, B, rate, clip=1.0, seed=seed)
    losses = []

    def after(step, seconds):
        losses.append(step.loss)
        if say is not None:
            say(trainer.step, step.loss)

    for before, stop in itertools.pairwise((0, *stops)):
        if not trainer.run(stop, after):
            raise KeyboardInterrupt
        with optimizer.in_place():
            held_out, _ = evaluate(model, task, Held(text.held_out), B, device=device)
            yield stop, float(np.mean(losses[before:])), held_out, model
