"""A language model is a compressor: arithmetic coding turns the loss into bytes, and back into the
text.

Book section 2.3.6 (Deletang et al. 2024). Claim 1, exact: the code of a text is at most 2 bits
longer than the model's loss on it, and the text comes back. Claim 2, measured: a small model
trained for seconds compresses text of its kind better than general compressors do. A GPT (3 layers,
width 128, context 64) over 1,024 BPE tokens, merges learned from the same text, reads Python's
documentation for 500 steps and compresses 8,000 unseen bytes. For fairness the general compressors
are also given the training text: zlib its last 32 kB as a dictionary, lzma all of it (size of both
texts minus size of the first). The model's own weights are not counted, as the training text is not
for those. About 3 minutes on two cores for three seeds; --quick: two seeds, 60 steps, 1,000 bytes.
`python scripts/2_3_long_sequences/compression.py [--seed N] [--device cpu] [--quick]`. Read next:
tinylm/generate/measure/compression.py.

Measured output (one core):

    343,064 bytes to learn from, 8,000 held-out bytes (2,932 tokens) to compress, 500 steps
        seed    loss, bits  code, bits  bits/byte  comes back  train s  code s  decode s
        0          17621.3       17622      2.211        True       36     0.9       0.9
        1          17920.9       17922      2.249        True       36     1.0       0.9
        2          18210.4       18211      2.285        True       37     1.0       0.9
    bits per byte, headers and all (the model's header: 8 bytes)
        GPT                                   2.248 (2.211 .. 2.285)
        zlib                                  2.701
        bz2                                   2.652
        lzma                                  2.691
        zlib, 32 kB of training text before   2.247
        lzma, all training text before        1.838
    at most 2 bits over the loss, and the text comes back: shows
    GPT needs fewer bits per byte than zlib: +0.453 [+0.361, +0.545], 3 seeds: shows
    GPT needs fewer bits per byte than bz2: +0.404 [+0.312, +0.496], 3 seeds: shows
    GPT needs fewer bits per byte than lzma: +0.443 [+0.351, +0.535], 3 seeds: shows
    GPT needs fewer bits per byte than zlib, 32 kB of training text before: -0.00133 [-0.0933,
      +0.0906], 3 seeds: too small to tell; 0.092 could have been seen
    GPT needs fewer bits per byte than lzma, all training text before: -0.41 [-0.502, -0.318], 3
      seeds: shows the opposite
"""

import argparse
import bz2
import lzma
import math
import time
import zlib

from tinylm.autograd.engine.tensor import first_order_only
from tinylm.autograd.kernels.losses import cross_entropy
from tinylm.data import RandomWindows, python_documentation, split_text, without_repeats
from tinylm.generate.fast.fastest import fastest
from tinylm.generate.measure.compression import HEADER, compress, decompress, encode_tokens
from tinylm.generate.protocol.language_model import ModelLM
from tinylm.machine import keep_freed_memory
from tinylm.models import GPT, GPTConfig
from tinylm.optim import AdamW, FlatParameters, clip_grad_norm
from tinylm.optim.schedule import cosine
from tinylm.tokenizers import BPETokenizer
from tinylm.train.experiments.compare import ONLY_RUNS, OPPOSITE, SHOWS, Claim, mean_and_range

V = 1024
CONTEXT = 64
BATCH = 16
LR = 2e-3
WARMUP = 30
START = [10]  # a line break, known to both sides
# (1) is exact: one seed of which it is not true refutes it. (2) in bits per byte, against known
# numbers; one claim for each compressor.
EXACT = "at most 2 bits over the loss, and the text comes back"
BETTER = Claim("GPT needs fewer bits per byte than", "2.3.6", larger=False)


def train(V, tokens, steps, seed):
    """A GPT over V tokens, trained on (n,) integers."""
    model = GPT(GPTConfig(V, CONTEXT, n_layer=3, n_head=4, d_model=128), seed)
    parameters = FlatParameters(model.named_parameters())
    optimizer = AdamW(parameters, betas=(0.9, 0.99), weight_decay=0.1)
    windows = RandomWindows(tokens, CONTEXT, BATCH, seed)
    for step in range(steps):
        parameters.zero_grad()
        batch = windows.batch(step)
        with first_order_only():
            loss = cross_entropy(model(batch[:, :-1]), batch[:, 1:])
        loss.backward()
        clip_grad_norm(parameters, 1.0)
        optimizer.step(LR * cosine(step, steps, WARMUP))
    return model


def general_compressors(training, text):
    """Bits per byte of general compressors, without and with the training text."""

    def zlib_after(text):
        # zlib looks back 32 kB at most
        packer = zlib.compressobj(9, zdict=training[-(2**15) :])
        return len(packer.compress(text) + packer.flush())

    # FORMAT_ALONE has the shortest header
    def lzma_size(text):
        return len(lzma.compress(text, preset=9 | lzma.PRESET_EXTREME, format=lzma.FORMAT_ALONE))

    sizes = {
        "zlib": len(zlib.compress(text, 9)),
        "bz2": len(bz2.compress(text, 9)),
        "lzma": lzma_size(text),
        "zlib, 32 kB of training text before": zlib_after(text),
        "lzma, all training text before": lzma_size(training + text) - lzma_size(training),
    }
    return {name: 8 * size / len(text) for name, size in sizes.items()}


def main(argv=None):
    """Train, compress and restore from every seed, print the table and the verdicts."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu", choices=["cpu"])
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args(argv)
    keep_freed_memory()
    # bytes: what counts is the size of the text as stored
    training, held_out = (
        part.encode() for part in split_text(without_repeats(python_documentation()))
    )
    seeds, steps, size = 3, 500, 8000
    if options.quick:
        seeds, steps, size = 2, 60, 1000
        print(ONLY_RUNS)
    text = held_out[:size]
    tokenizer = BPETokenizer.train([training.decode()], V, special=())
    ids = tokenizer.encode(text.decode()).tolist()
    tokens = tokenizer.encode(training.decode())
    rates, exact = [], True
    print(
        f"{len(training):,} bytes to learn from, {len(text):,} held-out bytes "
        f"({len(ids):,} tokens) to compress, {steps} steps"
    )
    print("    seed    loss, bits  code, bits  bits/byte  comes back  train s  code s  decode s")
    for seed in range(options.seed, options.seed + seeds):
        # seconds of training, of coding (done twice), of decoding
        begun = time.perf_counter()
        model = train(V, tokens, steps, seed)
        trained = time.perf_counter()
        bits, loss = encode_tokens(fastest(ModelLM(model)), ids, START)
        # once for the bits and the loss, once as bytes with a header
        data = compress(model, ids, START)
        coded = time.perf_counter()
        back = tokenizer.decode_bytes(decompress(model, data, START)) == text
        done = time.perf_counter()
        # -log2 Pr(text) + 2 bits, and what rounding in float costs over so many tokens
        exact &= (
            back
            and len(bits) <= loss + 2 + 1e-6 * len(ids)
            and len(data) == HEADER + math.ceil(len(bits) / 8)
        )
        rates.append(8 * len(data) / len(text))
        print(
            f"    {seed:<6}{loss:>12.1f}{len(bits):>12}{rates[-1]:>11.3f}{str(back):>12}"
            f"{trained - begun:>9.0f}{(coded - trained) / 2:>8.1f}{done - coded:>10.1f}"
        )
    print(f"bits per byte, headers and all (the model's header: {HEADER} bytes)")
    print(f"    {'GPT':<38}{mean_and_range(rates)}")
    # they have no seed
    others = general_compressors(training, text)
    for name, rate in others.items():
        print(f"    {name:<38}{rate:.3f}")
    print(f"{EXACT}: {SHOWS if exact else OPPOSITE}")
    for name, rate in others.items():
        print(f"{BETTER.text} {name}: {BETTER.judge(rates, rate)}")


if __name__ == "__main__":
    main()
