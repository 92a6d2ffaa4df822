"""The record of nanoGPT's configuration for a CPU: the loss on tinyshakespeare after the wall time
that torch takes for its 2,000 steps.

Claim (book section 2.2.2): at equal seconds and equal size, a wider initial spread, rotary
positions and a rate that falls to 0 reach a lower loss than nanoGPT's settings. Fixed: characters;
4 layers, 4 heads, width 128, 64 tokens of context; the first 90 % to learn from and the mean loss
of every character of the rest, in nats; 62.6 seconds of training on two workers (2,000 steps of
torch at 31.3 ms on the machine of the figures; --seconds takes that of another). All else may vary:
batches, rates, optimizer, positions, norms, initialization, at no more parameters. Beat it: add a
line to RECORDS.

Rules, written before the run: those of learning_per_second.py, whose engine this is; a record
stands if it is lower than the one before it by the paired interval of 95 % over seeds.

    python scripts/2_2_training_at_scale/nanogpt_record.py --data tinyshakespeare.txt --out r.jsonl

takes records x seeds x 66 seconds, 14 minutes; `--plot FILE` draws them, `--quick` trains
two records for 3 seconds, which proves that it runs. Read first: learning_per_second.py.

Measured (two idle cores of an AMD EPYC, OpenBLAS with its kernels for AVX-512; mean, least and most
over seeds 201 to 203; results/nanogpt_record.jsonl). In torch nanoGPT's page has 1.88 after 2,000
steps; the first line has its settings and 1.8 times as many.

                                        steps  seconds   nats a character
    nanoGPT's settings                   3663     64.6   1.738 (1.734 .. 1.742)
    rate 3e-3                            3591     64.9   1.669 (1.662 .. 1.678)
    width, rope, a line to 0             3288     63.1   1.598 (1.595 .. 1.602)
    Muon                                 2252     66.2   1.602 (1.592 .. 1.611)

    rate 3e-3: +0.069 [+0.0421, +0.0959], 3 seeds: shows
    width, rope, a line to 0: +0.0707 [+0.0441, +0.0973], 3 seeds: shows
    Muon: -0.00368 [-0.0215, +0.0141], 3 seeds: too small to tell; 0.018 could have been seen

The record to beat is 1.598. Muon learns as much in two thirds of the steps, each of which takes
half as long again.
"""

import tempfile
from pathlib import Path

from learning_per_second import command_line, cumulative, measured, plot, show

from tinylm.train.experiments.compare import Claim

SECONDS = 62.6
RECORDS = (
    (
        "nanoGPT's settings",
        "--tokenizer chars --n-layer 4 --n-head 4 --d-model 128 --context 64 --short-context 0 "
        "--batch-size 12 --lr 1e-3 --min-lr 1e-4 --schedule cosine --positions learned "
        "--init gpt2 --dropout 0 --weight-decay 0.1",
    ),
    ("rate 3e-3", "--lr 3e-3"),
    ("width, rope, a line to 0", "--init width --positions rope --schedule linear --min-lr 0"),
    ("Muon", "--optimizer muon"),
)
LOWER = Claim("a lower loss than the record before", "2.2.2", larger=False)


def main(argv=None):
    """Train what is missing, and print the records and verdicts."""
    rungs = cumulative(RECORDS)
    names = list(rungs)
    text = {"required": True, "help": "file of the text, tinyshakespeare.txt"}
    args = command_line(argv, __doc__, SECONDS, [names[0], names[-1]], data=text)
    rungs = {name: rungs[name] for name in args.rungs or names}
    with tempfile.TemporaryDirectory() as folder:
        args.out = args.out or Path(folder, "record.jsonl")
        found = measured(args, rungs, "loss", {"--data": args.data})
    scores = show(found, rungs, args.seeds, "nats a character", LOWER)
    if args.plot:
        plot(args.plot, scores, "nats a character")


if __name__ == "__main__":
    main()
