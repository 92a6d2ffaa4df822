"""The texts and the models of prompting_or_tuning.py: topics, documents and what has read them.

Texts are made-up words about one of 64 topics. A document is four texts, each with the name of its
topic behind it, so a model that reads documents learns what a prompt or a blank will need. GPTs of
several sizes and an encoder read the same documents. Book sections 3.1.4.1 and 3.4. Read next:
prompting_or_tuning.py.
"""

from dataclasses import replace

import numpy as np

from tinylm import backend
from tinylm.data.synthetic.topics import ABOUT, END, make_topics
from tinylm.finetune import fit
from tinylm.models import GPT, GPTConfig
from tinylm.models.encoder import Encoder, EncoderConfig
from tinylm.nn.linear import fit_to_width
from tinylm.pretrain import CausalLM
from tinylm.pretrain.masked.masked import MaskedLM
from tinylm.pretrain.special import Special
from tinylm.tokenizers import WordTokenizer

TOPICS, TEXTS = 64, 4  # TEXTS: of a document
# Of Zipf's law: two fifths of all texts are of the first three topics, one of 300 is of the last.
# How often names were read decides how good a prompt is: see the trials in the conclusion
# of prompting_or_tuning.py.
EXPONENT = 1.0
BATCH, RATE = 16, 5e-3
PASSES = 2  # of the encoder, which predicts a seventh of the tokens at a time; a GPT makes one
WIDTH, LAYERS = 64, 2  # of the encoder, and of the GPT that is compared with it
LABELS = 1, 2, 4, 8, 16, 32  # labeled texts a class
TESTED = 100  # texts of each comparison


class World:
    """Topics, their vocabulary, and documents to read before any task."""

    def __init__(self, seed, steps, device):
        self.seed, self.device = seed, device
        self.topics = make_topics(TOPICS, seed=seed)
        self.tokenizer = WordTokenizer([*self.topics.words, *self.topics.names, ABOUT, END])
        # [CLS] and [MASK] alone: there is one text in a row
        special = Special.after(self.tokenizer.vocab_size, sentinels=0)
        self.special = replace(special, sep=None)
        texts = self.topics.documents(
            steps * BATCH,
            TEXTS,
            exponent=EXPONENT,
            seed=seed,
        )
        # (documents, tokens): all have as many words, so they need no padding
        encoded = [self.tokenizer.encode(text) for text in texts]
        self.rows = np.array(encoded, np.int64)
        # label sets: consecutive pieces of one order, common and rare topics mixed
        order = backend.Random(seed, "label sets").permutation(TOPICS).tolist()
        self.order = [self.topics.names[i] for i in order]

    def labels(self, count, piece=0):
        """The piece-th set of so many labels."""
        start = piece * count
        return tuple(self.order[start : start + count])

    def tested(self, labels):
        """Texts to be labeled."""
        # Seeds of their own for tests, labeled texts (2000) and demonstrations (3000).
        return self.topics.items(TESTED, labels, seed=self.seed + 1000)

    def labeled(self, labels, each):
        """Labeled texts, `each` of every label, and the same where more are drawn."""
        # The same texts are drawn for every `each`: a larger one adds texts and changes none.
        most = LABELS[-1] * len(labels)
        drawn = self.topics.items(most, labels, seed=self.seed + 2000)
        found = []
        for label in labels:
            of_label = [one for one in drawn if one.answer == label]
            found += of_label[:each]
        return found

    def _read(self, model, objective, passes=1):
        model = fit_to_width(model, model.config.d_model).to(self.device)
        # Every document is read `passes` times.
        steps = passes * len(self.rows) // BATCH
        settings = {"batch_size": BATCH, "learning_rate": RATE, "weight_decay": 0.0}
        fit(model, objective, self.rows, steps=steps, seed=self.seed, **settings)
        return model

    def gpt(self, width, layers):
        """A GPT that has read the documents."""
        config = GPTConfig(
            self.tokenizer.vocab_size,
            self.rows.shape[1] + 1,  # of positions
            layers,
            4,
            width,
            positions="rope",
            norm="rms",
            bias=False,
        )
        return self._read(GPT(config, self.seed), CausalLM())

    def encoder(self, fresh=False):
        """An encoder that has read the documents with masks; fresh: one that has read nothing."""
        config = EncoderConfig(
            self.special.vocab_size,
            self.rows.shape[1] + 1,  # of positions: [CLS] stands before a text
            LAYERS,
            4,
            WIDTH,
            segments=0,
            pooler=False,
            norm_placement="pre",
            norm_eps=1e-5,
            dropout=0.0,
        )
        if fresh:
            return fit_to_width(Encoder(config, self.seed), WIDTH).to(self.device)
        return self._read(Encoder(config, self.seed), MaskedLM(self.special), PASSES)
