"""The stages of alignment_pipeline.py: one tiny assistant, from articles to a policy with a reward.

What each stage reads and learns, and what is measured of its model; sizes and rates are constants
at the top. Read first: tinylm/data/synthetic/list_tasks.py. Read next: alignment_pipeline.py.
"""

import copy
import sys
import time
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from tinylm import backend
from tinylm.align.feedback.annotators import SimulatedAnnotator, random_pairs
from tinylm.align.feedback.pairs import encode_pairs
from tinylm.align.inference.law import kl_bound
from tinylm.align.logprobs import response_logits
from tinylm.align.policy.kl import token_kl
from tinylm.align.preference.tuning import DPO, tune
from tinylm.align.rewards.modeling import RewardModeling
from tinylm.align.rewards.reward_model import RewardModel
from tinylm.align.rlhf import train_policy
from tinylm.autograd import no_grad
from tinylm.data.synthetic.draws import generator
from tinylm.data.synthetic.list_tasks import (
    KNOWN_TASKS,
    NEW_TASKS,
    article,
    demonstrations,
    draw_tasks,
    gold_reward,
    read_reply,
    vocabulary,
)
from tinylm.finetune import evaluate, fit
from tinylm.finetune.instruct.conversations import MARKS, ROLES, encode_samples, encode_sft
from tinylm.finetune.instruct.instructions import InstructionTuning
from tinylm.generate import generate_batch
from tinylm.models import GPT, GPTConfig
from tinylm.nn import evaluating
from tinylm.pretrain import CausalLM
from tinylm.tokenizers import WordTokenizer

ROW, ARTICLES = 49, 24_000  # tokens of a row of pre-training; texts
STEPS = 4_000  # of pre-training, 32 rows each
DEMONSTRATIONS, EPOCHS, RATE = 3_000, 6, 3e-3
COMPARED, CANDIDATES, PAIRS = 12_000, 4, 2  # prompts, replies to each, comparisons of them
UNSURE, CARELESS = 0.25, 0.1  # temperature of the annotator, and its share of coins
HELD_OUT = 500  # comparisons on which the reward model is tested
N = 16
ROUNDS, PROMPTS = 150, 16  # steps of PPO and GRPO, and the prompts of each
LONGEST = 16  # tokens of a reply
# Weights of the KL and rates that runs of another seed chose: with 0.05 and 3e-4 GRPO left the SFT
# model by 30 nats, for rewards of 2 and gold rewards of 0, and so did DPO with 0.1 and 3e-4.
BETA, DPO_RATE = 0.3, 5e-5
PPO = {"group": 4, "epochs": 2, "minibatches": 2, "beta": 0.2, "learning_rate": 1e-4}
GRPO = {"group": 8, "epochs": 1, "minibatches": 1, "beta": 0.2, "learning_rate": 5e-5}
TESTED, WATCHED, DRAWN = 300, 64, 2  # instructions of a test, of a point of a curve; its replies
WORDS = WordTokenizer(vocabulary(), MARKS)
END = WORDS.special["<|end|>"]
GROUPS = {
    "right": (KNOWN_TASKS, (0, 1, 2)),
    "new phrasing": (KNOWN_TASKS, (3,)),
    "new tasks": (NEW_TASKS, (0, 1, 2)),
}


@dataclass
class Measured:
    """A row of the table.

    right   {group of instructions: share of right answers}
    gold    mean gold reward;  reward  of the reward model;  kl  in nats;  length  in tokens
    minutes of its own training, of one core
    """

    right: dict
    gold: float
    reward: float
    kl: float
    length: float
    minutes: float


class Point(NamedTuple):
    """A point of a curve: after `step` updates, or steps of a policy; best of n: n.

    kl, reward, gold  as in the table;  new  gold reward on new tasks
    """

    step: int
    kl: float
    reward: float
    gold: float
    new: float


class Assistant:
    """The models and the data of one seed.

    share   of the usual steps and samples
    """

    def __init__(self, seed, device, share):
        self.seed, self.share, self.minutes = seed, share, {}
        self.watching = 0.0  # seconds that points of curves took
        config = GPTConfig(
            WORDS.vocab_size, 64, 3, 4, 64, norm="rms", positions="rope", bias=False, tied=False
        )
        self.base = GPT(config, seed).to(device)
        # Embeddings ten times GPT-2's: with 0.02 so small a model learns more slowly.
        self.base.tokens.weight.data *= 10
        draw = generator(seed, "tests")
        self.tests = {
            name: draw_tasks(tasks, TESTED, draw, phrasings)
            for name, (tasks, phrasings) in GROUPS.items()
        }
        self.watched, self.watched_new = (
            draw_tasks(tasks, WATCHED, draw) for tasks in (KNOWN_TASKS, NEW_TASKS)
        )
        self.curves, self.spent = {}, {}

    def timed(self, name, function, *arguments):
        """The result of a stage, whose minutes are kept, without those of its curve."""
        begun, watched = time.process_time(), self.watching
        found = function(*arguments)
        seconds = time.process_time() - begun - (self.watching - watched)
        self.minutes[name] = seconds / 60
        minutes = self.minutes[name]
        print(f"seed {self.seed}, {name}: {minutes:.1f} minutes", file=sys.stderr, flush=True)
        return found

    def some(self, count):
        """`count` times the share, at least 40."""
        return max(40, int(count * self.share))

    # The stages.

    def pretrain(self):
        """The base model reads articles."""
        draw = generator(self.seed, "articles")
        ids = np.concatenate([WORDS.encode(article(draw)) for _ in range(self.some(ARTICLES))])
        rows = list(ids[: len(ids) // ROW * ROW].reshape(-1, ROW))
        options = {"batch_size": 32, "learning_rate": 3e-3, "weight_decay": 0.0}
        fit(self.base, CausalLM(), rows, steps=self.some(STEPS), seed=self.seed, **options)

    def instruct(self):
        """The SFT model."""
        draw = generator(self.seed, "demonstrations")
        tasks = draw_tasks(KNOWN_TASKS, self.some(DEMONSTRATIONS), draw)
        rows, _, _ = encode_samples(WORDS, ROLES, demonstrations(tasks, draw))
        self.sft = copy.deepcopy(self.base)
        options = {"batch_size": 32, "learning_rate": RATE, "seed": self.seed}
        fit(self.sft, InstructionTuning(), rows, epochs=EPOCHS, **options)

    def collect(self):
        """Comparisons of the SFT model's replies by the annotator, some of them held out."""
        draw = generator(self.seed, "comparisons")
        tasks = draw_tasks(KNOWN_TASKS, self.some(COMPARED), draw)
        replies = self.replies(self.sft, tasks, CANDIDATES, 1)
        found = []
        for task, row in zip(tasks, replies):

            def gold(prompt, text, task=task):
                return gold_reward(text, task)

            annotator = SimulatedAnnotator(gold, UNSURE, CARELESS)
            for a, b in random_pairs([text_of(one) for one in row], PAIRS, draw):
                found.append(annotator.compare(task.prompt, a, b, draw))
        pairs, _ = encode_pairs(WORDS, ROLES, found)
        held_out = min(HELD_OUT, len(pairs) // 4)
        self.pairs, self.held_out = pairs[:-held_out], pairs[-held_out:]

    def learn_reward(self):
        """The reward model, in units of the SFT model's replies."""
        self.reward = RewardModel(copy.deepcopy(self.sft), self.seed)
        options = {"batch_size": 32, "learning_rate": 1e-3, "seed": self.seed}
        fit(self.reward, RewardModeling(), self.pairs, epochs=2, **options)
        replies = self.replies(self.sft, self.watched, CANDIDATES, 2)
        prompts = prompts_of(self.watched)
        self.reward.standardize([[*x, *y] for x, row in zip(prompts, replies) for y in row])

    def dpo(self):
        """A policy trained on the comparisons."""
        policy = copy.deepcopy(self.sft)
        options = {"batch_size": 32, "learning_rate": DPO_RATE, "seed": self.seed}
        steps = 0

        def watch(step, seconds):
            nonlocal steps
            steps += 1
            self.watch("DPO", policy, steps)

        self.watch("DPO", policy, 0)
        task = DPO(options={"beta": BETA})
        tune(policy, task, self.pairs, epochs=1, after_step=watch, **options)
        self.watch("DPO", policy, steps, last=True)
        return policy

    def reinforced(self, method, **settings):
        """A policy trained on rewards of its own replies."""
        policy = copy.deepcopy(self.sft)
        draw = generator(self.seed, "prompts")
        prompts = prompts_of(draw_tasks(KNOWN_TASKS, self.some(COMPARED), draw))
        steps, name = self.some(ROUNDS), method.upper()
        # The greatest step falls to 0 in a straight line.
        updates = steps * settings.get("epochs", 1) * settings.get("minibatches", 1)

        def rate(update):
            return settings["learning_rate"] * max(0.0, 1 - update / updates)

        def watch(metrics):
            self.watch(name, policy, metrics["step"], metrics["step"] == steps)

        self.watch(name, policy, 0)
        common = {"eos": END, "max_tokens": LONGEST, "batch_size": PROMPTS, "seed": self.seed}
        found = train_policy(
            policy,
            prompts,
            self.reward,
            method,
            steps=steps,
            after_step=watch,
            rate=rate,
            **common,
            **settings,
        )
        seconds = np.array([step["seconds"] for step in found])
        self.spent[name] = {
            part: float(seconds @ [step[part] for step in found] / seconds.sum())
            for part in ("sampling", "scoring")
        }
        return policy

    # What is measured.

    def watch(self, name, policy, step, last=False):
        """Add a point to a curve, before training, after 1, 2, 4, 8, .. steps, and after the last.

        A method may make half of its way in the first few steps, so points at equal distances
        would show where it arrives alone.
        """
        points = self.curves.setdefault(name, [])
        if (step & (step - 1) and not last) or (points and points[-1].step == step):
            return
        begun = time.process_time()
        replies, new = (
            self.replies(policy, tasks, DRAWN, 3) for tasks in (self.watched, self.watched_new)
        )
        gold, reward = self.worth(self.watched, replies)
        kl = self.distance(policy, self.watched, replies)
        points.append(Point(step, kl, reward, gold, self.worth(self.watched_new, new)[0]))
        self.watching += time.process_time() - begun

    def watch_best_of_n(self):
        """The curve of best of n: the best of the first n of N replies."""
        both = [(x, self.replies(self.sft, x, N, 6)) for x in (self.watched, self.watched_new)]
        curve = self.curves["best of n"] = []
        for n in (1, 2, 4, 8, N):
            known, new = ([row[:n] for row in replies] for _, replies in both)
            gold, reward = self.worth(self.watched, self.best(self.watched, known))
            new_gold, _ = self.worth(self.watched_new, self.best(self.watched_new, new))
            curve.append(Point(n, kl_bound(n), reward, gold, new_gold))

    def judge_accuracy(self):
        """The share of held-out comparisons that the reward model decides as the annotator did."""
        return evaluate(self.reward, RewardModeling(), self.held_out)["accuracy"]

    def replies(self, model, tasks, count, draw, temperature=1.0):
        """`count` replies to each instruction: list of lists of ids, end mark included."""
        prompts = [x for x in prompts_of(tasks) for _ in range(count)]
        found = []
        for start in range(0, len(prompts), 256):
            found += generate_batch(
                model,
                prompts[start : start + 256],
                LONGEST,
                seed=1_000_000 * draw + start,
                eos=END,
                temperature=temperature,
                notice=None,
            )
        return [found[i : i + count] for i in range(0, len(found), count)]

    def rewards(self, tasks, replies):
        """Of the reward model, (instructions, replies)."""
        texts = [[*x, *y] for x, row in zip(prompts_of(tasks), replies) for y in row]
        return self.reward.score(texts, 64).reshape(len(tasks), -1)

    def worth(self, tasks, replies):
        """(mean gold reward, mean reward of the reward model)."""
        gold = [gold_reward(text_of(y), task) for task, row in zip(tasks, replies) for y in row]
        return float(np.mean(gold)), float(self.rewards(tasks, replies).mean())

    def distance(self, model, tasks, replies):
        """KL(policy || SFT) of a reply in nats, by replies of the policy.

        For each token drawn so far the divergence of the next one is summed exactly: the same
        expectation as log policy - log SFT of the replies, with less noise and never below 0.
        """
        texts = [encode_sft(x, y) for x, row in zip(prompts_of(tasks), replies) for y in row]
        batch = InstructionTuning().make_batch(texts).to(model.tokens.weight.device)
        with no_grad(), evaluating(model), evaluating(self.sft):
            policy, reference = (response_logits(one, batch)[0] for one in (model, self.sft))
            kl = token_kl(policy, reference.data)  # (n,), of all tokens of all replies
        return float(backend.to_cpu(kl.data).sum() / len(texts))

    def best(self, tasks, replies):
        """Of the replies to each task, the one with the highest reward: list of lists of one."""
        chosen = self.rewards(tasks, replies).argmax(axis=1)
        return [[row[i]] for row, i in zip(replies, chosen)]

    def measured(self, name, model):
        """The row of a model; of best of 16 if there is none."""
        known = self.tests["right"]
        if model is None:
            found = {
                group: self.best(tasks, self.replies(self.sft, tasks, N, 4))
                for group, tasks in self.tests.items()
            }
            drawn, kl = found["right"], kl_bound(N)
        else:
            found = {
                group: self.replies(model, tasks, 1, 4, temperature=0.0)
                for group, tasks in self.tests.items()
            }
            drawn = self.replies(model, known, 1, 5)
            kl = self.distance(model, known, drawn)
        right = {
            group: np.mean([is_right(y, task) for task, (y,) in zip(tasks, found[group])])
            for group, tasks in self.tests.items()
        }
        gold, reward = self.worth(known, drawn)
        length = np.mean([len(y) for (y,) in drawn])
        return Measured(right, gold, reward, kl, length, self.minutes.get(name, 0.0))


def prompts_of(tasks):
    """The ids of instructions, up to where the reply begins: list of lists."""
    return [
        ROLES.encode(WORDS, [{"role": "user", "content": one.prompt}]).tolist() for one in tasks
    ]


def text_of(ids):
    """The text of a reply, without its end mark."""
    return WORDS.decode([i for i in ids if i != END])


def is_right(ids, task):
    """True for the right answer in any style."""
    return read_reply(text_of(ids), task).answer == task.answer
