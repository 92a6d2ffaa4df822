"""The world and the models of teaching_signals.py: texts about topics, and GPTs that read them.

A text is twelve made-up words about one of 16 topics, the right reply its topic's name, after
"please" where the reply is polite. Base models have read texts alone. Read first:
tinylm/data/synthetic/topics.py. Read next: teaching_signals.py.
"""

import copy

import numpy as np

from tinylm.data.read.instructions import Instruction
from tinylm.data.synthetic.topics import make_topics
from tinylm.finetune import fit
from tinylm.finetune.instruct.conversations import MARKS, ROLES, encode_samples
from tinylm.finetune.instruct.instructions import InstructionTuning
from tinylm.generate import generate_batch
from tinylm.models import GPT, GPTConfig
from tinylm.nn.linear import fit_to_width
from tinylm.pretrain import CausalLM
from tinylm.tokenizers import WordTokenizer

TOPICS, OWN, SHARE, WORDS = 16, 12, 0.5, 12  # WORDS: of a text
READ, BATCH, READING = 32_000, 32, 4e-3  # texts; the rate of pre-training
PLEASE, LONGEST, TESTED = "please", 4, 1000  # LONGEST: tokens of a reply


class World:
    """Topics, texts, and the models that read them.

    share   of the usual steps
    """

    def __init__(self, seed, share, device):
        self.seed, self.share, self.device = seed, share, device
        self.topics = make_topics(TOPICS, own=OWN, share=SHARE, seed=seed)
        self.words = WordTokenizer(sorted([*self.topics.words, *self.topics.names, PLEASE]), MARKS)
        self.end = self.words.special["<|end|>"]
        self.test = self.items(TESTED, 9)

    def steps(self, count):
        """The share of so many steps, at least one."""
        return max(1, int(self.share * count))

    def items(self, count, part):
        """Texts with their topics, of a part of the data: list of Item."""
        return self.topics.items(count, length=WORDS, seed=100 * self.seed + part)

    def rows(self, count, part):
        """Texts as ids: (count, WORDS)."""
        return np.array([self.words.encode(one.question) for one in self.items(count, part)])

    def model(self, width, layers, heads, seed):
        """A GPT with new weights."""
        shape = (self.words.vocab_size, 32, layers, heads, width)
        config = GPTConfig(*shape, positions="rope", norm="rms", bias=False)
        return fit_to_width(GPT(config, seed), width).to(self.device)

    def reads(self, model, rows, steps, task=None, after_step=None):
        """Pre-training, in place."""
        given = {"batch_size": BATCH, "learning_rate": READING, "weight_decay": 0.0}
        given |= {"seed": self.seed, "after_step": after_step}
        fit(model, task or CausalLM(), rows, steps=self.steps(steps), **given)
        return model

    def reader(self, part):
        """A model that has read texts of a part of the data."""
        model = self.model(64, 2, 4, self.seed + part)
        return self.reads(model, self.rows(READ, part), READ // BATCH)

    def tuned(self, model, samples, steps, rate):
        """A copy of the model, tuned on samples."""
        found = copy.deepcopy(model)
        examples = encode_samples(self.words, ROLES, samples)[0]
        given = {"batch_size": BATCH, "learning_rate": rate, "weight_decay": 0.0}
        fit(found, InstructionTuning(), examples, steps=self.steps(steps), seed=self.seed, **given)
        return found

    def prompts(self, questions):
        """Their ids, up to where the reply begins: list of lists."""
        asked = ([{"role": "user", "content": question}] for question in questions)
        return [ROLES.encode(self.words, one).tolist() for one in asked]

    def replies(self, model, questions, temperature=0.0, draw=0):
        """A reply to each question: list of str."""
        prompts, found = self.prompts(questions), []
        given = {"eos": self.end, "temperature": temperature, "notice": None}
        for start in range(0, len(prompts), 250):
            seed = 10**6 * draw + start
            found += generate_batch(
                model, prompts[start : start + 250], LONGEST, seed=seed, **given
            )
        return [self.text(ids) for ids in found]

    def text(self, ids):
        """The text of a reply, without its end mark."""
        return self.words.decode([i for i in ids if i != self.end]).strip()

    def right(self, model):
        """The share of right greedy replies."""
        return judged(self.replies(model, [one.question for one in self.test]), self.test)[1]


def samples_of(items, polite=0.0, rng=None):
    """Right replies, a share of them polite: list of Instruction."""
    found = []
    for one in items:
        reply = one.answer
        if polite and rng.random() < polite:
            reply = f"{PLEASE} {reply}"
        found.append(Instruction(one.question, reply))
    return found


def is_polite(reply):
    """Whether a reply begins with the word."""
    return reply.split()[:1] == [PLEASE]


def judged(replies, items):
    """The one evaluation of all families: shares of replies that are polite, and right."""
    polite = [is_polite(reply) for reply in replies]
    right = [reply.removeprefix(PLEASE).strip() == one.answer for reply, one in zip(replies, items)]
    return float(np.mean(polite)), float(np.mean(right))
