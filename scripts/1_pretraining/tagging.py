"""Parts of speech and names: what a small tagger needs to beat a list of words. Book section 1.4.4,
eq. 1.23.

Claims: a tagger that was trained to convergence beats what needs no context: each word its most
frequent tag, and for names also a dictionary of the training names. (Of the 836 names of the test
none is a name in training, spelled alike, and 31 are but for capitals: the data were chosen for new
names, Derczynski et al. 2017.) Three things help it: the form of words, that is endings, capitals
and characters, as read by tinylm/finetune/tasks/word_forms.py; pre-training by masked language
modeling on other text; and a CRF, which chooses the tags of a sentence together, over tag by tag,
also where the rules of BIO mend what tag by tag answers.

One encoder of two layers of width 128; each model is trained for the same epochs at a rate that
falls to 0, and the epoch is kept that is best on a tenth of the training sentences, which are held
out; the test is read once. Pre-training reads the raw training sentences of both tasks, 19,000
lines of reviews and the Bible, no test sentence. `python scripts/1_pretraining/tagging.py [--data
FOLDER] [--steps N] [--epochs N] [--seed N] [--out FILE] [--device D] [--quick]`. FOLDER (or
TINYLM_DATA) has tagging/ud_en_ewt_dev.conllu.gz (2,001 sentences; a fifth is for testing),
tagging/wnut17_{train,dev}.conll.gz, corpus/reviews_unlabelled.txt.gz and
bitext/bible_en_es.tsv.gz; without it, sentences of a made-up grammar. Five seeds of pre-training,
new weights and order, 75 minutes on one core. Finished cells are kept in --out FILE, and a run
that was stopped goes on from there. --quick: two seeds, few steps and sentences.

Measured output:

    UD English EWT, WNUT 2017; reviews and the Bible; 6000 steps of masked LM on 1781188 pieces, 8
      epochs of each task
        seed 0: masked LM ends at 4.22 nats of 8.29
        seed 1: masked LM ends at 4.24 nats of 8.29
        seed 2: masked LM ends at 4.24 nats of 8.29
        seed 3: masked LM ends at 4.17 nats of 8.29
        seed 4: masked LM ends at 4.20 nats of 8.29

    parts of speech: 1600 sentences to learn from, 401 for testing; accuracy over words, % (least ..
      most)
        each word its most frequent tag             82.1
        random weights, CRF                         82.6 (82.1 .. 83.0)
        random weights, forms, CRF                  87.3 (86.3 .. 87.8)
        pre-trained, CRF                            85.0 (84.6 .. 85.4)
        pre-trained, forms, CRF                     90.6 (90.5 .. 90.9)
        pre-trained, forms, tag by tag              90.0 (89.7 .. 90.3)
        kept: epochs 4 to 8
    parts of speech: the best model beats what knows words alone (section 1.4.4): +0.0853 [+0.0833,
      +0.0873], 5 seeds: shows
    parts of speech, pre-trained: the form of words helps (section 1.4.4): +0.0558 [+0.05, +0.0616],
      5 seeds: shows
    parts of speech, random weights: the form of words helps (section 1.4.4): +0.0466 [+0.0414,
      +0.0519], 5 seeds: shows
    parts of speech, CRF: pre-training helps (section 1.4.4): +0.0237 [+0.0166, +0.0308], 5 seeds:
      shows
    parts of speech, forms, CRF: pre-training helps (section 1.4.4): +0.0329 [+0.0255, +0.0403], 5
      seeds: shows
    parts of speech: a CRF beats choosing tag by tag (section 1.4.4): +0.00624 [+0.00267, +0.00981],
      5 seeds: shows

    names: 3394 sentences to learn from, 1009 for testing; F1 over whole names, % (least .. most)
        each word its most frequent tag              9.6
        a dictionary of the training names           5.4
        random weights, CRF                         11.6 (10.6 .. 13.3)
        random weights, forms, CRF                  21.1 (17.6 .. 23.8)
        pre-trained, CRF                            16.8 (15.0 .. 18.1)
        pre-trained, forms, CRF                     24.9 (24.1 .. 25.9)
        pre-trained, forms, tag by tag              26.0 (24.1 .. 29.1)
        pre-trained, forms, CRF, BIO rules          25.3 (24.4 .. 26.5)
        pre-trained, forms, tag by tag, BIO rules   25.7 (23.9 .. 29.2)
        kept: epochs 4 to 8
    names: the best model beats what knows words alone (section 1.4.4): +0.153 [+0.144, +0.162], 5
      seeds: shows
    names, pre-trained: the form of words helps (section 1.4.4): +0.0812 [+0.067, +0.0955], 5 seeds:
      shows
    names, random weights: the form of words helps (section 1.4.4): +0.0951 [+0.072, +0.118], 5
      seeds: shows
    names, CRF: pre-training helps (section 1.4.4): +0.0522 [+0.0399, +0.0645], 5 seeds: shows
    names, forms, CRF: pre-training helps (section 1.4.4): +0.0383 [+0.00486, +0.0718], 5 seeds:
      shows
    names: a CRF beats choosing tag by tag (section 1.4.4): -0.0109 [-0.0418, +0.0201], 5 seeds: too
      small to tell; 0.031 could have been seen
    names, both with BIO rules: a CRF beats choosing tag by tag (section 1.4.4): -0.00477 [-0.0388,
      +0.0292], 5 seeds: too small to tell; 0.034 could have been seen

    4515 s in all cells

So context, forms and pre-training each carry their part: without them a tagger hardly beats the
list of words (82.6 against 82.1 % of words), with all of them it reaches 90.6 %, and for names F1
25 where a dictionary of known names has 5. The form of words is worth most (4.7 to 5.6 points of
words, 8 to 10 of F1), pre-training 2.4 to 3.3 and 3.8 to 5.2. A CRF gains .6 points of words; for
names five seeds leave it open (3 points could have been seen). The last of the eight epochs, whose
rate is next to 0, was kept in 19 of 50 trainings, an earlier one in 31.
"""

import argparse
import os
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from tagged_sentences import read_data

from tinylm import backend
from tinylm.finetune import evaluate, fit
from tinylm.finetune.early_stopping import EarlyStopping
from tinylm.finetune.inputs import EncoderInput
from tinylm.finetune.tasks.by_word import MostFrequentTag, NameDictionary
from tinylm.finetune.tasks.tagging import Tagging, TokenClassifier
from tinylm.finetune.tasks.word_forms import CharacterCNN, PartVectors, WordForms
from tinylm.models.encoder.encoder import Encoder, EncoderConfig, without_head
from tinylm.nn.linear import fit_to_width
from tinylm.pretrain.masked.masked import MaskedLM
from tinylm.tokenizers import BPETokenizer
from tinylm.train.experiments.cells import Cells
from tinylm.train.experiments.compare import ONLY_RUNS, Claim, mean_and_range

PIECES, CONTEXT, WIDTH = 4000, 64, 128
STEPS = 6000  # of pre-training
# Most steps read short rows, as BERT's do: while attention is still even, a neighbor is one of 24
# tokens and not of 64, and masked LM leaves the loss of guessing sooner. The rest read whole
# sentences. (share of the steps, pieces of a row, rows of a batch, learning rate)
PHASES = (0.8, 24, 43, 3e-3), (0.2, CONTEXT, 16, 1e-3)
MASKED = 0.3  # of the tokens
EPOCHS, BATCH, RATE, DROPOUT = 8, 16, 2e-3, 0.3  # of each task; sentences
SEEDS = 5
MARKS = "[PAD]", "[CLS]", "[SEP]", "[MASK]"
# name: (pre-trained, reads the form of words, has a CRF)
MODELS = {
    "random weights, CRF": (False, False, True),
    "random weights, forms, CRF": (False, True, True),
    "pre-trained, CRF": (True, False, True),
    "pre-trained, forms, CRF": (True, True, True),
    "pre-trained, forms, tag by tag": (True, True, False),
}
BEST, BY_TAG = "pre-trained, forms, CRF", "pre-trained, forms, tag by tag"
# Paired: both sides of a seed see the same sentences in the same order. A measure of 0 is that of
# a model that has found no name at all.
RULE = {"section": "1.4.4", "limit": 1.0, "floor": 0.0}
BEATS_WORDS = Claim("the best model beats what knows words alone", **RULE)
FORMS = Claim("the form of words helps", **RULE)
PRETRAINING = Claim("pre-training helps", **RULE)
CRF = Claim("a CRF beats choosing tag by tag", **RULE)


@dataclass(frozen=True)
class Setup:
    """What all trainings share.

    tasks   {name: Data};  source  what they are
    inputs  EncoderInput
    stream  ids (n,) of the text of pre-training
    steps   of masked LM;  epochs  of each task
    """

    tasks: dict
    source: str
    inputs: EncoderInput
    stream: np.ndarray
    steps: int
    epochs: int
    device: str

    @classmethod
    def of(cls, folder, steps, epochs, device, most=None):
        """Read the data, of each file `most` sentences, and make the vocabulary from all text but
        that of the test.
        """
        tasks, other, source = read_data(folder)
        tasks = {name: data.cut(most) for name, data in tasks.items()}
        other = other[:most]
        text = [*(words for data in tasks.values() for words, _ in data.train), *filter(len, other)]
        # word by word, so that a piece never crosses words
        tokenizer = BPETokenizer.train(["\n".join(words) for words in text], PIECES, MARKS)
        inputs = EncoderInput.of(tokenizer, CONTEXT)
        # one stream of pieces, [SEP] behind each sentence
        stream = np.concatenate([[*inputs.pieces(words)[0], inputs.special.sep] for words in text])
        return cls(tasks, source, inputs, stream, steps, epochs, device)

    def encoder(self, seed, dropout=DROPOUT):
        """The one encoder, from random weights."""
        config = EncoderConfig(
            self.inputs.special.vocab_size,
            context=CONTEXT,
            n_layer=2,
            n_head=4,
            d_model=WIDTH,
            segments=0,
            norm_placement="pre",
            norm_eps=1e-5,
            pooler=False,
            head="token",
            dropout=dropout,
        )
        return fit_to_width(Encoder(config, seed), WIDTH).to(self.device)

    def pretrain(self, seed):
        """State of an encoder after masked LM, and its last loss."""
        # so small a model does not learn so much text by heart: no dropout
        model = self.encoder(seed, 0.0)
        for share, width, batch_size, rate in PHASES:
            n = len(self.stream) // (width - 1) * (width - 1)
            rows = self.stream[:n].reshape(-1, width - 1)  # [CLS] comes in front of each
            losses = fit(
                model,
                MaskedLM(self.inputs.special, MASKED),
                rows,
                steps=round(share * self.steps),
                batch_size=batch_size,
                learning_rate=rate,
                seed=seed,
            )
        return model.state_dict(), float(losses[-100:].mean())

    def tag(self, task, model, seed, state):
        """Train one of MODELS on a task, from a state or None; returns what is measured.

        held   the measure on held-out sentences after every epoch;  epoch  the one that is kept
        rules  the measure of the test where answers follow the rules of BIO
        others as Tagging.measure(), of the test
        """
        data, (_, reads_forms, crf) = self.tasks[task], MODELS[model]
        learn, held = data.held_out()
        encoder, forms, modules = self.encoder(seed), None, ()
        if state is not None:
            encoder.load_state_dict(state)
        if reads_forms:
            forms = WordForms.of(word for words, _ in learn for word in words)
            modules = [kind(forms, WIDTH, seed) for kind in (PartVectors, CharacterCNN)]
        tagger = TokenClassifier(without_head(encoder), len(data.tags), crf, seed, modules)
        task = Tagging(self.inputs, data.tags, forms=forms)
        # as many epochs as there are, and of these the best
        best = EarlyStopping(
            tagger, lambda: evaluate(tagger, task, held)[data.measure], patience=self.epochs
        )
        fit(
            tagger,
            task,
            learn,
            epochs=self.epochs,
            batch_size=BATCH,
            learning_rate=RATE,
            seed=seed,
            after_epoch=best,
        )
        best.restore()
        found = evaluate(tagger, task, data.test)
        found["rules"] = evaluate(tagger, replace(task, constrained=True), data.test)[data.measure]
        return found | {"held": best.history, "epoch": best.best_epoch}

    def run(self, cells, seeds):
        """{(task, model): [what was found, of every seed]}; finished cells are not run again."""
        sizes = {"text": self.source, "masked steps": self.steps, "epochs": self.epochs}
        sizes["sentences"] = [len(data.train) for data in self.tasks.values()]
        # one pre-training of a seed serves all its models, and none is needed if all are finished
        pretrained = lru_cache(maxsize=1)(self.pretrain)
        results = {}
        for seed in seeds:
            cell = {"pre-training": "masked LM", "seed": seed, **sizes}
            loss = cells(cell, lambda seed=seed: {"loss": pretrained(seed)[1]})["loss"]
            guess = np.log(self.inputs.special.vocab_size)
            print(f"    seed {seed}: masked LM ends at {loss:.2f} nats of {guess:.2f}", flush=True)
            for task in self.tasks:
                for model, (starts_pretrained, *_) in MODELS.items():

                    def train(seed=seed, task=task, model=model, start=starts_pretrained):
                        state = pretrained(seed)[0] if start else None
                        return self.tag(task, model, seed, state)

                    cell = {"task": task, "model": model, "seed": seed, **sizes}
                    results.setdefault((task, model), []).append(cells(cell, train))
        return results


def baselines(data):
    """{name: measure} of taggers that know words alone."""
    taggers = {"each word its most frequent tag": MostFrequentTag(data.train)}
    if data.measure == "f1":
        taggers["a dictionary of the training names"] = NameDictionary(data.train)
    measure = Tagging(None, data.tags).measure
    return {
        name: measure([tagger(words) for words, _ in data.test], data.test)[data.measure]
        for name, tagger in taggers.items()
    }


def report(task, data, found):
    """Print the table and the verdicts of one task; found is {model: [of every seed]}."""
    unit = {"accuracy": "accuracy over words", "f1": "F1 over whole names"}[data.measure]
    print(
        f"\n{task}: {len(data.train)} sentences to learn from, {len(data.test)} for testing; "
        f"{unit}, % (least .. most)"
    )
    known = baselines(data)
    for name, score in known.items():
        print(f"    {name:<44}{100 * score:4.1f}")
    scores = {model: [one[data.measure] for one in of_seeds] for model, of_seeds in found.items()}
    if data.measure == "f1":
        for model in (BEST, BY_TAG):
            scores[f"{model}, BIO rules"] = [one["rules"] for one in found[model]]
    for model, values in scores.items():
        print(f"    {model:<44}{mean_and_range(100 * np.array(values), '4.1f')}")
    epochs = [one["epoch"] for of_seeds in found.values() for one in of_seeds]
    print(f"    kept: epochs {min(epochs)} to {max(epochs)}")
    print(f"{task}: {BEATS_WORDS.line(scores[BEST], max(known.values()))}")
    for start in ("pre-trained", "random weights"):
        line = FORMS.line(scores[f"{start}, forms, CRF"], scores[f"{start}, CRF"])
        print(f"{task}, {start}: {line}")
    for kind in ("CRF", "forms, CRF"):
        line = PRETRAINING.line(scores[f"pre-trained, {kind}"], scores[f"random weights, {kind}"])
        print(f"{task}, {kind}: {line}")
    print(f"{task}: {CRF.line(scores[BEST], scores[BY_TAG])}")
    if data.measure == "f1":
        rules = [scores[f"{model}, BIO rules"] for model in (BEST, BY_TAG)]
        print(f"{task}, both with BIO rules: {CRF.line(*rules)}")


def main():
    """Train, tag, print the tables and the verdicts."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--steps", type=int, default=STEPS, help="of masked LM")
    parser.add_argument("--epochs", type=int, default=EPOCHS, help="of each task")
    parser.add_argument("--data", default=os.environ.get("TINYLM_DATA", ""))
    parser.add_argument("--out", help="file of finished cells, which is added to")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--quick", action="store_true")
    args = parser.parse_args()
    backend.blas_threads(1)
    seeds = range(args.seed, args.seed + SEEDS)
    if args.quick:
        args.steps, args.epochs, seeds = 30, 2, seeds[:2]
        print(ONLY_RUNS)
    most = 200 if args.quick else None
    setup = Setup.of(args.data, args.steps, args.epochs, args.device, most)
    print(
        f"{setup.source}; {args.steps} steps of masked LM on {setup.stream.size} pieces, "
        f"{args.epochs} epochs of each task"
    )
    cells = Cells(args.out)
    results = setup.run(cells, seeds)
    for task, data in setup.tasks.items():
        report(task, data, {model: results[task, model] for model in MODELS})
    print(f"\n{cells.seconds():.0f} s in all cells")


if __name__ == "__main__":
    main()
