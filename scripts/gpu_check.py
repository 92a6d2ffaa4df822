"""Everything about a GPU that can only be seen on one, in one program of at most eight minutes.

It measures the card's two ceilings (bytes a second, float32 operations a second), compares each
kernel with its twin on NumPy, runs the tests that are the same on every device, and times training
steps of W1, W2, W3 and a GPT of 124 million parameters (T 1,024), and decoding, beside torch eager,
torch.compile and torch in bfloat16 where torch is installed. Beside every time stands its floor:
operations in matrix products over the measured rate, or bytes of parameters over the measured
bandwidth, whichever is longer. `python scripts/gpu_check.py [--out FILE.json] [--seconds 480]`;
with `--dry-run` it runs everything small, on arrays that keep CuPy's rules, without a GPU: its
times then mean nothing.

No figure stands here: it has not run on a GPU yet. tinylm computes in float32 there, without TF32;
a step captured as a CUDA graph, TF32 and tiled attention in bfloat16 are not built.
"""

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import tinylm as tl  # noqa: E402
from tests.autograd.device.twins import run  # noqa: E402
from tinylm import backend as devices  # noqa: E402
from tinylm.autograd import no_grad  # noqa: E402
from tinylm.backend import Random, backend, to_cpu, to_device  # noqa: E402
from tinylm.cli.measure import workloads  # noqa: E402
from tinylm.cli.measure.workloads import ADAMW, CLIP, WORKS, Work  # noqa: E402
from tinylm.generate.cache.key_value import KeyValueCache  # noqa: E402
from tinylm.json_text import json_text  # noqa: E402
from tinylm.models import GPT  # noqa: E402
from tinylm.optim import AdamW  # noqa: E402
from tinylm.pretrain import CausalLM  # noqa: E402
from tinylm.train.scaling.accounting import step_flops  # noqa: E402
from tinylm.train.step import train_step  # noqa: E402

WORKS["GPT-124M"] = Work(12, 12, 768, 1024, 4, vocab_size=50257)
SMALL = Work(1, 2, 32, 16, 2, vocab_size=97, decode_tokens=8)
SAME_ON_EVERY_DEVICE = [
    "tests/optim",
    "tests/train/test_step.py",
    "tests/autograd/kernels",
    "tests/autograd/engine",
    "tests/models/decoder/test_presets.py",
    "tests/autograd/test_gradients.py",
]
TESTS_AT_MOST = 100  # seconds
ADAMW_TRAFFIC = 11  # reads and writes of each parameter's float32 in a step: weights twice,
# gradient written, read for the norm and by AdamW, and AdamW's theta, m and v read and written
MOST_APART = {
    "float32": 1e-4,
    "float64": 1e-11,
}  # of results with their scale, by kernels and twins


def seconds_of(step, seconds, least=3):
    """Median seconds of step(i), which must wait for its device; the first `least` do not count."""
    for i in range(least):
        step(i)
    taken, end = [], time.perf_counter() + seconds
    while len(taken) < least or time.perf_counter() < end:
        start = time.perf_counter()
        step(len(taken))
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


def ceilings(device, dry):
    """{"bytes": a second of a copy, read and written, "flops": of a float32 matrix product}."""
    n, m = (1 << 16, 64) if dry else (1 << 28, 8192)
    x = Random(0, device=device).uniform((n,))
    y = np.empty_like(x)
    a = Random(1, device=device).uniform((m, m))
    found = {}

    def copy(i):
        y[...] = x
        to_cpu(y[:1])

    def product(i):
        to_cpu((a @ a)[:1, :1])

    found["bytes"] = 2 * x.nbytes / seconds_of(copy, 0.0 if dry else 2.0)
    found["flops"] = 2 * m**3 / seconds_of(product, 0.0 if dry else 3.0)
    return found


def parity(device, dry, seconds):
    """The tests that are the same on every device, on this one: {"passed": bool, "said": str}."""
    chosen = ["tests/optim/test_sgd.py"] if dry else SAME_ON_EVERY_DEVICE
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", device]
    done = subprocess.run(
        [*command, *chosen], cwd=ROOT, capture_output=True, text=True, timeout=seconds
    )
    said = (done.stdout.strip().splitlines() or [done.stderr[-200:]])[-1]
    return {"passed": done.returncode == 0, "said": said}


def one_query(q, k, v):
    """Attention without gradients, a kernel of its own; q joins for what wants a gradient."""
    with tl.no_grad():
        y = tl.attention(q, k, v)
    return y + 0 * q


def operations(rng, dtype):
    """(name, operation, arrays, options) of every fused operation with kernels."""

    def new(*shape):
        return rng.normal(size=shape).astype(dtype)

    angle = rng.uniform(0, 6, (100, 8))
    rotation = np.cos(angle).astype(dtype), np.sin(angle).astype(dtype)
    heads = {"heads": 4, "kv_heads": 2}
    ids = rng.integers(0, 50, (3, 400))
    yield "layer_norm", tl.layer_norm, [new(700, 96), new(96), new(96)], {}
    yield "rms_norm", tl.rms_norm, [new(700, 96), new(96)], {}
    for activation in (tl.gelu, tl.gelu_tanh, tl.silu):
        yield activation.__name__, activation, [3 * new(70, 500)], {}
    for product in (tl.swiglu, tl.geglu):
        yield product.__name__, product, [new(70, 500), new(70, 500)], {}
    yield "linear", tl.linear, [new(5000, 32), new(32, 48), new(48)], {}
    yield "embedding, few rows", tl.embedding, [ids, new(50, 96)], {}
    yield "embedding, many rows", tl.embedding, [ids, new(5000, 96)], {}
    yield "cross_entropy", tl.cross_entropy, [3 * new(3, 400, 900), ids], {}
    yield "self_attention", tl.self_attention, [new(2, 100, 128)], {**heads, "rotation": rotation}
    mask = rng.random((2, 1, 1, 100)) < 0.8
    yield "self_attention, masked", tl.self_attention, [new(2, 100, 128)], {**heads, "mask": mask}
    separate = [new(2, 4, 70, 24), new(2, 2, 100, 24), new(2, 2, 100, 24)]
    yield "attention", tl.attention, separate, {"causal": True}
    yield "attention, bias and mask", tl.attention, [*separate, new(4, 70, 100)], {"mask": mask}
    yield "attention, one query", one_query, [new(2, 4, 1, 24), *separate[1:]], {}
    yield "softmax", tl.softmax, [3 * new(70, 900)], {}
    yield "log_softmax", tl.log_softmax, [3 * new(70, 900)], {}


def kernels(device):
    """Largest difference of each operation from NumPy, with its scale: {name: {dtype: float}}; and
    whether a second run has the same bits.
    """
    found, same = {}, True
    for dtype in (np.float32, np.float64):
        for name, operation, arrays, options in operations(np.random.default_rng(0), dtype):
            want, theirs = run(operation, arrays, options, "cpu")
            out, ours = run(operation, arrays, options, device)
            again, twice = run(operation, arrays, options, device)
            pairs = zip([out, *ours], [want, *theirs], [again, *twice], strict=True)
            apart = 0.0
            for a, b, c in pairs:
                apart = max(apart, float(np.abs(a - b).max() / max(np.abs(b).max(), 1)))
                same = same and bool(np.array_equal(a, c))
            found.setdefault(name, {})[np.dtype(dtype).name] = apart
    right = all(
        apart <= MOST_APART[dtype] for row in found.values() for dtype, apart in row.items()
    )
    return {"passed": right and same, "same_bits": same, "apart": found}


def our_training(work, data, device):
    """A function that takes one training step on batch i and returns its loss."""
    model = GPT(work.config(), seed=1)
    model.load_state_dict({name: array for name, array in data.items() if name != "batches"})
    optimizer, objective = AdamW(model.to(device).named_parameters(), **ADAMW), CausalLM()
    batches = [objective.make_batch(ids).to(device) for ids in data["batches"]]

    def step(i):
        batch = batches[i % len(batches)]
        rates = ADAMW["lr"], CLIP
        return train_step(model, objective, optimizer, batch, 0, work.batch, *rates).loss

    return step


def our_decoding(work, data, device):
    """A function that decodes one more token greedily and returns its logit."""
    config = work.config(decoding=True)
    model = GPT(config, seed=1)
    model.load_state_dict({name: array for name, array in data.items() if name != "batches"})
    model, state = model.to(device).eval(), {}
    width = work.d_model // work.n_head

    def step(i):
        if i % work.decode_tokens == 0:
            sizes = work.n_layer, 1, work.n_head, width, np.float32, device
            state["cache"] = KeyValueCache(*sizes, capacity=config.context)
            state["token"] = to_device(np.array([[1]]), device)
        with no_grad():
            logits = model(state["token"], state["cache"]).data[0, -1]
        state["token"] = np.argmax(logits).reshape(1, 1)
        return float(np.max(logits))

    return step


def contestants(kind, work, data, device, dry):
    """(label, function that makes step) of tinylm and of torch's modes where it is installed."""
    ours = {"training": our_training, "decoding": our_decoding}[kind]
    yield "tinylm", lambda: ours(WORKS[work], data, device)
    try:
        import torch
    except ImportError:
        return
    from tinylm.cli.measure.peer_torch import torch_decoding, torch_training

    if not dry and not torch.cuda.is_available():
        return
    theirs = {"training": torch_training, "decoding": torch_decoding}[kind]
    job = {"work": work, "device": "cpu" if dry else "cuda"}
    modes = {"torch": {}, "torch.compile": {"compile": True}}
    if kind == "training":
        modes["torch, bfloat16"] = {"bfloat16": True}
    if dry:
        del modes["torch.compile"]
    for label, options in modes.items():
        yield label, lambda options=options: theirs(job | options, data, None)


def paired(kind, work, device, dry, left, limits):
    """Seconds of each contestant, and the floor; {"error": text} for one that failed."""
    sizes = WORKS[work]
    data = workloads.initial_weights(sizes, decoding=kind == "decoding")
    parameters = sum(array.size for array in data.values())
    data["batches"] = workloads.batches(sizes, 4)
    found = {"parameters": parameters, "contestants": {}}
    if kind == "training":
        flops = step_flops(sizes.config(), sizes.batch, sizes.context)
        moved = 4 * ADAMW_TRAFFIC * parameters
    else:
        flops, moved = 2 * parameters, 4 * parameters
    found["floor"] = {"operations": flops / limits["flops"], "bytes": moved / limits["bytes"]}
    for label, make in contestants(kind, work, data, device, dry):
        if left() < 15:
            found["contestants"][label] = {"error": "no time left"}
            continue
        try:
            step = make()
            values = [float(step(i)) for i in range(3)]
            row = {"values": values, "seconds": seconds_of(step, 0.0 if dry else 3.0)}
            row["of_floor"] = row["seconds"] / max(found["floor"].values())
        except Exception as error:  # one that fails must not take the others along
            row = {"error": f"{type(error).__name__}: {error}"[:300]}
        found["contestants"][label] = row
    rows = found["contestants"]
    found["passed"] = "error" not in rows["tinylm"] and _same_values(rows)
    return found


def _same_values(rows):
    """Whether the float32 contestants computed the same losses or logits, up to rounding."""
    alike = [row["values"] for name, row in rows.items() if "values" in row and "16" not in name]
    return bool(np.max(np.ptp(np.array(alike), axis=0)) < 1e-3)


def lines(found):
    """The result as a short table."""
    limits = found["ceilings"]
    if found["dry_run"]:
        yield "dry run: all sizes are small, there is no GPU, and the times mean nothing"
    yield (
        f"copy {limits['bytes'] / 1e9:.0f} GB/s, "
        f"float32 product {limits['flops'] / 1e12:.2f} TFLOP/s"
    )
    for name, part in found["parts"].items():
        said = part.get("error") or part.get("said", "")
        yield f"{name}: {'passed' if part.get('passed') else 'FAILED'} {said}"
        floor = max(part.get("floor", {"": 0}).values())
        for label, row in part.get("contestants", {}).items():
            figures = row.get("error")
            if figures is None:
                figures = f"{1e3 * row['seconds']:.3f} ms, {row['of_floor']:.1f} of the floor"
            yield f"    {label:<18}{figures}"
        if floor:
            yield f"    {'floor':<18}{1e3 * floor:.4f} ms"


def check(device, dry, seconds):
    """All parts in order, as long as there is time: the dict that is written."""
    end = time.perf_counter() + seconds

    def left():
        return end - time.perf_counter()

    backend(device)
    found = {"device": device, "dry_run": dry, "ceilings": ceilings(device, dry), "parts": {}}
    if not dry:
        import cupy

        found["card"] = cupy.cuda.runtime.getDeviceProperties(0)["name"].decode()
        found["cupy"] = cupy.__version__
    limits, parts = found["ceilings"], {"kernels": lambda: kernels(device)}
    parts["tests"] = lambda: parity(device, dry, max(1, min(TESTS_AT_MOST, left())))
    for work in ("W1", "W2", "W3", "GPT-124M"):
        arguments = work, device, dry, left, limits
        parts[f"{work} training"] = lambda a=arguments: paired("training", *a)
    for work in ("W1", "W2"):
        arguments = work, device, dry, left, limits
        parts[f"{work} decoding"] = lambda a=arguments: paired("decoding", *a)
    for name, part in parts.items():
        if left() < 15:
            found["parts"][name] = {"passed": False, "error": "no time left"}
            continue
        try:
            found["parts"][name] = part()
        except Exception as error:
            found["parts"][name] = {"passed": False, "error": f"{type(error).__name__}: {error}"}
    return found


def main(argv=None):
    """The command line. Returns 0 if every part passed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dry-run", action="store_true", help="small, without a GPU")
    parser.add_argument("--seconds", type=float, default=480, help="after which parts are left out")
    parser.add_argument("--out", default="gpu_check.json", help="file for the figures")
    options = parser.parse_args(argv)
    device = "gpu"
    if options.dry_run:
        from tests.strict import strict_backend

        device = "strict"
        devices.register(device, strict_backend)
        WORKS.update(dict.fromkeys(("W1", "W2", "W3", "GPT-124M"), SMALL))
    found = check(device, options.dry_run, options.seconds)
    Path(options.out).write_text(json_text(found, indent=1) + "\n", encoding="utf-8")
    print("\n".join(lines(found)))
    return 0 if all(part.get("passed") for part in found["parts"].values()) else 1


if __name__ == "__main__":
    sys.exit(main())
