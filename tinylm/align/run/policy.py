"""A run of `tinylm align` that learns from a reward: REINFORCE, A2C, RLOO, PPO, GRPO and others.

    prompts   of a file, checked: those that leave no room for an answer are left out
    reward    a run of `tinylm align reward`, or a function of one's own, called once at the start
    train     align/rlhf: sample, evaluate, update; the figures of each step go to the log
    save      as training.py does; the reference is the model that the run started from

The seeds of prompts, responses and minibatches follow from the step, so an interrupted run goes on
as if it had not been. Read first: training.py, ../rlhf/trainer.py.
"""

import hashlib
import json
import shlex
import signal
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from tinylm.align.rlhf import METHODS, PolicySettings, policy_trainer, roll_out, setting_names
from tinylm.align.rlhf.scoring import score_responses
from tinylm.align.rlhf.trainer import check_settings
from tinylm.align.run.examples import (
    NO_ROOM,
    Checked,
    Example,
    about_held,
    encoded,
    held_back,
    nothing_left,
    read_all,
)
from tinylm.align.run.saved import Begun, load_trained, new_run, save_aligned, trained_arrays
from tinylm.align.run.scorer import RewardOfModel, open_scorer
from tinylm.align.run.settings import PolicyRunSettings
from tinylm.align.run.training import check_same, in_words
from tinylm.align.run.tunable import open_tunable
from tinylm.data.read.prompts import read_prompts
from tinylm.errors import DataError
from tinylm.finetune.freezing import count_trainable
from tinylm.optim.schedule import rise_and_fall
from tinylm.train import checkpoint as checkpoints
from tinylm.train.interrupt import finish_first
from tinylm.train.log import Log
from tinylm.train.progress import Progress
from tinylm.train.run.config import as_json

NO_ROOM_TO_SCORE = "left out, the prompt leaves --reward no room to read an answer"
AGAIN = "left out, the same prompt again"
# Figures on the progress line, of those that a method has.
SHOWN = ("reward", "kl", "clip_fraction", "entropy", "length", "informative")
PARTS = ("sampling", "scoring")  # of a step's time; the rest is the updates
FLAT = 5  # first steps in which some rewards must differ


class PolicyTraining:
    """A run of a method of align/rlhf, ready to train.

    name, run, directory, report, begun  as of Training
    settings   (PolicyRunSettings, PolicySettings, the method)
    """

    def __init__(
        self,
        name: str,
        run: str,
        settings: Sequence,
        directory: str | Path,
        report: Callable,
        begun: Begun | None = None,
    ) -> None:
        self.settings, self.common, self.method = settings
        self.name, self.run, self.directory, self.report = name, run, directory, report
        s, seed = self.settings, self.common.seed
        check_settings(self.method, self.common)
        self.scorer = scorer = open_scorer(s.reward, s.device)
        self.opened = open_tunable(run, s.template, s.lora, s.lora_alpha, seed)
        if begun:
            check_same("weights of", run, begun.sha256, self.opened.sha256)
            check_same("contents of --reward", s.reward, begun.reward, scorer.sha256)
        found = self._prompts()
        digest = _sha256(found)
        if begun:
            check_same("prompts in", ", ".join(s.data), begun.examples, digest)
        train, self.held = held_back(found, s.val_fraction, seed)
        report(about_held(train, self.held))
        self.rate = rise_and_fall(s.lr, s.steps * self.method.updates, s.warmup)
        self.reward = _reward(scorer, self.opened, [one.encoded for one in found])
        self.opened.model.to(s.device)
        self.trainer = policy_trainer(
            self.opened.model,
            [ids for ids, _ in train],
            self.reward,
            name,
            eos=self.opened.end,
            rate=self.rate,
            **vars(self.common),
            **{field: getattr(self.method, field) for field in setting_names(type(self.method))},
        )
        self.begun = begun
        if begun:
            self._restore()
        else:
            words = as_json(s) | as_json(self.common) | as_json(self.method)
            sums = self.opened.sha256, digest, scorer.sha256
            self.begun = new_run(name, run, words, *sums)
        # A resumed run has been warned before, if there was reason to.
        self.told_apart, self.first_reward = self.begun is begun, None
        self.spent = dict.fromkeys(("seconds", *PARTS), 0.0)
        self.log = self.progress = None

    def _prompts(self):
        """Prompts that leave room for an answer: list of Example of (ids, Prompt)."""
        s, context = self.settings, self.opened.model.config.context
        placed, checked, found = (
            read_all(read_prompts, s.data, s.skip_bad, self.report),
            Checked(),
            {},
        )
        longest = self.common.max_tokens
        for one in placed:
            written = encoded(self._written, one, s.data, s.skip_bad, checked)
            if written is None:
                continue
            ids, scored = written
            if len(ids) + longest > context:
                checked.add(NO_ROOM, one.place)
            elif not scored:
                checked.add(NO_ROOM_TO_SCORE, one.place)
            elif tuple(ids) in found:
                checked.add(AGAIN, one.place)
            else:
                found[tuple(ids)] = Example((ids, one.what), tuple(ids))
        lines = [f"data: {len(placed):,} prompts read, {len(found):,} kept"]
        lines += checked.lines()
        if NO_ROOM in checked.found:
            lines.append(
                f"  (the model reads {context:,} tokens at most, {longest} of them an answer: "
                "--max-tokens)"
            )
        if NO_ROOM_TO_SCORE in checked.found:
            lines.append(
                f"  (--reward {s.reward} reads {self.scorer.context:,} tokens at most, {longest} "
                "of them an answer: lower --max-tokens, or train it with a longer context)"
            )
        if not found:
            raise nothing_left(s.data, lines)
        for line in lines:
            self.report(line)
        return list(found.values())

    def _written(self, prompt):
        """(ids of a Prompt, whether --reward has room for it and the longest answer)."""
        ids = self.opened.template.encode(self.opened.tokenizer, prompt.messages)
        return list(map(int, ids)), self.scorer.has_room(prompt, self.common.max_tokens)

    def figures(self) -> dict[str, float]:
        """Mean reward and length of one response to each held-out prompt: {name: float}."""
        if not self.held:
            return {}
        prompts = [ids for ids, _ in self.held]
        options = {"eos": self.opened.end, "temperature": self.common.temperature}
        seeds = [self.common.seed + i for i in range(len(prompts))]
        rollout = roll_out(self.opened.model, prompts, self.common.max_tokens, seeds, **options)
        scores = score_responses(self.reward, rollout)
        return {"reward": float(scores.mean()), "length": float(rollout.lengths.mean())}

    def go(self) -> dict[str, Any]:
        """Train to the end or to a signal, and save: a dict as Training.go()."""
        s, first = self.settings, self.trainer.iteration
        if not first:
            self.begun = replace(self.begun, before=self.figures())
        self.log = Log(self.directory, after=first or None)
        self.log.write(
            "start", step=first, method=self.name, counted="", settings=self.begun.settings
        )
        if not first and self.begun.before:
            self.log.write("validation", step=0, loss=None, **self.begun.before)
        model, rows = self.opened.model, self.trainer.samples.batch_size * self.method.minibatches
        self.report(
            f"model: {model.count_parameters():,} parameters, of which {count_trainable(model):,} "
            f"are trained; {s.steps} steps of {rows} responses, {self.method.updates} updates each"
        )
        self.progress = Progress(first, s.steps, unit="tokens")
        try:
            with finish_first():
                self.trainer.run(s.steps, self._after_step, self._interrupted)
                return self._end()
        except DataError:  # of the reward or a response, before the step has changed anything
            if self.trainer.iteration > first:
                self._save(unfinished=True)
                self.progress.note(
                    f"saved as after step {self.trainer.iteration}; to continue: tinylm align "
                    f"--resume {shlex.quote(str(self.directory))}"
                )
            raise
        finally:
            self.progress.close()
            self.log.close()

    def _after_step(self, found):
        """Log a step; validate and save when it is their turn."""
        n, s = self.trainer.iteration, self.settings
        self.spent["seconds"] += found["seconds"]
        for part in PARTS:
            self.spent[part] += found[part] * found["seconds"]
        last = self.trainer.trainer.step - 1
        self.log.write("step", **{"loss": None, **found, "lr": self.rate(last)})
        tokens = found["length"] * self.trainer.samples.batch_size * self.method.minibatches
        figures = [(name, found[name]) for name in SHOWN if name in found]
        self.progress.update(
            n, found["loss"], tokens / found["seconds"], found["grad_norm"], figures
        )
        self._check_rewards(found)
        if n == s.steps:
            return
        if self.held and s.eval_every and n % s.eval_every == 0:
            self.progress.note(f"step {n}, held back: {in_words(self._validate())}")
        if s.checkpoint_every and n % s.checkpoint_every == 0:
            self._save(unfinished=True)

    def _check_rewards(self, found):
        """Warn once if no rewards differ in the first steps: of a group, or without groups of any
        answers.
        """
        n, group = self.trainer.iteration, self.method.group
        self.told_apart |= found.get("informative", found["reward_std"]) > 0
        if group == 1:
            if self.first_reward is None:
                self.first_reward = found["reward"]
            self.told_apart |= found["reward"] != self.first_reward
        if n == min(FLAT, self.settings.steps) and not self.told_apart:
            self.progress.note(_nothing_to_learn(n, found["reward"], group))

    def _interrupted(self):
        self.progress.note("interrupted: finishing this step and saving (Ctrl-C once more: stop)")

    def _validate(self):
        found = self.figures()
        if found:
            self.log.write("validation", step=self.trainer.iteration, loss=None, **found)
        return found

    def _end(self):
        finished = self.trainer.iteration >= self.settings.steps
        self.report(time_spent(**self.spent))
        stopped_by, after = None, {}
        if finished:
            after = self._validate()
        else:
            stopped_by = int(self.trainer.trainer.stopped_by or signal.SIGINT)
        path = self._save(unfinished=not finished)
        return {
            "finished": finished,
            "signal": stopped_by,
            "steps": self.trainer.iteration,
            "before": self.begun.before,
            "after": after,
            "path": path,
        }

    def _save(self, unfinished):
        more = None
        card = {"data": self.begun.settings["data"], "steps": self.trainer.iteration}
        if unfinished:
            arrays, state = self.trainer.state()
            more = trained_arrays(self.trainer.models.trained()), arrays["optimizer"], state
        parts = self.directory, self.opened.model, self.opened, self.begun, self.trainer.iteration
        return save_aligned(*parts, more, card)

    def _restore(self):
        """Go on from the state of an interrupted run."""
        optimizer = self.trainer.trainer.optimizer
        model, moments = load_trained(self.begun, self.trainer.models.trained(), optimizer)
        arrays = {"optimizer": moments}
        for file, prefix in (("model", "policy."), ("value", "value.")):
            named = {name: array for name, array in model.items() if name.startswith(prefix)}
            arrays[file] = {name[len(prefix) :]: array for name, array in named.items()}
        where = self.begun.path / checkpoints.STATE
        self.trainer.load_state(arrays, self.begun.trainer, where)


def time_spent(seconds: float, sampling: Any, scoring: float) -> str:
    """Where the seconds of a run's steps went, as a line."""
    shares = [part / max(seconds, 1e-9) for part in (sampling, scoring)]
    updates = max(0.0, 1 - sum(shares))
    return (
        f"steps: {seconds:.1f} s, sampling {shares[0]:.0%}, scoring {shares[1]:.0%}, "
        f"updates {updates:.0%}"
    )


def _nothing_to_learn(steps, reward, group):
    """The warning for first steps whose rewards do not differ where differences are learnt from."""
    where = "of all answers were the same"
    if group > 1:
        where = f"of the {group} answers to a prompt never differed"
    return (
        f"warning: up to step {steps} the rewards {where} (mean {reward:.4g}), which "
        "teaches nothing: does --reward tell answers apart, and are these different ones?"
    )


def _reward(scorer, opened, examples):
    """What align/rlhf takes as a reward: a reward model that reads the same ids, or a function.

    examples  list of (ids, Prompt)
    """
    if isinstance(scorer, RewardOfModel):
        run = scorer.run
        same = run.tokenizer.to_dict() == opened.tokenizer.to_dict()
        if same and run.template == opened.template:
            return run.model
    about = {tuple(ids): prompt for ids, prompt in examples}

    def reward(ids, response):
        if response and response[-1] == opened.end:
            response = response[:-1]
        prompt = about[tuple(map(int, ids))]
        text = opened.tokenizer.decode(response)
        return float(scorer(prompt.messages, [text], prompt.record)[0])

    first = examples[0][0]
    reward(first, opened.tokenizer.encode("a").tolist())  # a mistake in it shows before sampling
    return reward


def _sha256(examples):
    """The SHA-256 of prompts and their records."""
    found = hashlib.sha256()
    for one in examples:
        ids, prompt = one.encoded
        found.update(np.array(ids, np.int64))
        found.update(json.dumps(prompt.record, sort_keys=True).encode())
    return found.hexdigest()


def policy_classes(name: str) -> tuple:
    """The dataclasses of the settings of a method of align/rlhf."""
    return PolicyRunSettings, PolicySettings, METHODS[name]
