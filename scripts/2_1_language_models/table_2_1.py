"""The book's Table 2.1 with numbers: a model trained on "<s> a b c d </s>" writes b c d after "<s>
a".

Section 2.1, eqs. 2.1 and 2.3: at each step the most probable token is appended, and the probability
of the sequence is the product of the factors so far. Claim: after 150 updates on this one string
the table comes out as the book prints it, and its last probability is that of scoring the whole
string at once. A few seconds. `python scripts/2_1_language_models/table_2_1.py [--seed N] [--device
cpu|gpu] [--quick]`; --quick is 30 updates, too few for certainty. Read next:
tinylm/generate/trace.py.

Measured output (seed 0, CPU; the last line over 3 seeds):

    Context    Predict  Decision rule                        Sequence probability               Factor  Value
    <s> a      b        argmax_{x2 in V} Pr(x2 | <s> a)      Pr(<s>) Pr(a|<s>) Pr(b|<s> a)      0.9997  0.9993
    <s> a b    c        argmax_{x3 in V} Pr(x3 | <s> a b)    [one factor more: Pr(c|<s> a b)]   0.9997  0.999
    <s> a b c  d        argmax_{x4 in V} Pr(x4 | <s> a b c)  [one more: Pr(d|<s> a b c)]        0.9997  0.9987
    Pr(<s> a b c d) over 3 seeds: 0.9986 .. 0.9987
    the table comes out as printed, every factor above 0.9, and its product is that of scoring: in 3
      of 3 runs: shows

(the factors in brackets are printed in full).
"""

import argparse
import math

import numpy as np

import tinylm as tl
from tinylm.generate import sequence_logprob, trace_generation
from tinylm.models import GPT, GPTConfig
from tinylm.optim import AdamW, FlatParameters
from tinylm.pretrain import CausalLM
from tinylm.train.experiments.compare import ONLY_RUNS, OPPOSITE, SHOWS

NAMES = ["<s>", "a", "b", "c", "d", "</s>"]
STRING = np.arange(6)[None]  # (1, 6): <s> a b c d </s>
# Exact: the table must come out as printed in every run. A certain model has factors near 1.
CLAIM = "the table comes out as printed, every factor above 0.9, and its product is that of scoring"


def train(seed, steps, device):
    """A GPT of one block after `steps` updates on the string."""
    model = GPT(GPTConfig(len(NAMES), context=6, n_layer=1, n_head=2, d_model=16), seed).to(device)
    optimizer = AdamW(FlatParameters(model.named_parameters()), weight_decay=0.0)
    objective = CausalLM()
    batch = objective.make_batch(STRING).to(device)
    for _ in range(steps):
        optimizer.zero_grad()
        objective.loss(model, batch)[0].backward()
        optimizer.step(1e-2)
    return model


def main():
    """Train from three seeds, print the table of the first, check all of them."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu", choices=("cpu", "gpu"))
    parser.add_argument("--quick", action="store_true", help="30 updates")
    args = parser.parse_args()
    # enough for factors above 0.999
    steps = 150
    if args.quick:
        steps = 30
        print(ONLY_RUNS)
    ends, as_printed = [], []
    for seed in range(args.seed, args.seed + 3):
        model = train(seed, steps, args.device)
        show = print if seed == args.seed else None
        table = trace_generation(model, [0, 1], 3, names=NAMES.__getitem__, show=show)
        # Pr(<s>) Pr(a | <s>) ... Pr(d | <s> a b c), from one reading of the whole string
        whole = math.exp(sequence_logprob(model, STRING[0, :5]))
        as_printed.append(
            [row.predict for row in table] == NAMES[2:5]
            and min(row.factor for row in table) > 0.9
            and math.isclose(table[-1].probability, whole, rel_tol=1e-4)
        )
        ends.append(table[-1].probability)
    print(f"Pr(<s> a b c d) over 3 seeds: {min(ends):.4f} .. {max(ends):.4f}")
    print(f"{CLAIM}: in {sum(as_printed)} of 3 runs: {SHOWS if all(as_printed) else OPPOSITE}")


if __name__ == "__main__":
    tl.backend.keep_freed_memory()
    main()
