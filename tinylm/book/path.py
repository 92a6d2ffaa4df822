"""`tinylm book --path`: the way from an array to a trained GPT, as files to read in order.

The list is chosen by hand; the lines are counted in the files as they are now. A test trains a GPT
and writes with it, and fails if a file that ran is neither on the way nor named beside it, or if a
file uses one that comes later. Read next: the first file of the list.
"""

import ast
import io
import textwrap
import tokenize
from dataclasses import dataclass
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Step:
    """A file on the way.

    file   its path below tinylm/
    idea   what a reader finds there
    first  True for the few to read in a first evening; scripts/train_gpt.py joins them
    """

    file: str
    idea: str
    first: bool = False


# fmt: off
WAY = {
    "An array that remembers how it was made": [
        Step("autograd/engine/tensor.py", "the tape: an operation leaves a node behind", True),
        Step("autograd/engine/operation.py", "how an operation and its rule are defined"),
        Step("autograd/engine/backward.py", "the chain rule: the newest node comes first", True),
        Step("autograd/primitives/elementwise.py", "a line of forward, one a derivative", True),
        Step("autograd/primitives/shaping.py", "moving values, and moving cotangents back"),
        Step("autograd/primitives/reductions.py", "sums, maxima and log-sum-exp along axes"),
        Step("autograd/primitives/products.py", "matrix products and einsum"),
        Step("autograd/primitives/indexing.py", "reading places, and adding up into them"),
        Step("autograd/methods.py", "a + b is add(a, b)"),
    ],
    "The operations of a transformer": [
        Step("autograd/kernels/composed.py", "each as a few lines of the operations above", True),
        Step("autograd/kernels/linear.py", "x W + b, embeddings: by hand, for speed"),
        Step("autograd/kernels/norms.py", "layer norm and RMS norm"),
        Step("autograd/kernels/activations.py", "GELU, SiLU, gates, dropout"),
        Step("autograd/kernels/attention.py", "softmax of scores, times values"),
        Step("autograd/kernels/losses.py", "softmax and cross-entropy"),
    ],
    "The layers": [
        Step("nn/module.py", "parameters are found in attributes"),
        Step("nn/linear.py", "maps and tables with initial weights"),
        Step("nn/norm.py", "norms, and where they stand"),
        Step("nn/feedforward.py", "each position on its own"),
        Step("nn/attention/multi_head.py", "positions look at each other"),
        Step("nn/position/learned.py", "a vector for each position"),
        Step("nn/block.py", "attention and feed-forward on a residual stream"),
    ],
    "The model": [
        Step("models/decoder/config.py", "GPT-2, LLaMA and others are choices of parts"),
        Step("models/decoder/gpt.py", "tokens in, scores of the next token out", True),
    ],
    "From text to a number to be made small": [
        Step("tokenizers/characters.py", "a text as numbers"),
        Step("data/batches/windows.py", "windows of it in random order"),
        Step("pretrain/language/causal.py", "the targets are the inputs, one token later"),
    ],
    "Training": [
        Step("optim/flat.py", "one array of parameters, one of gradients"),
        Step("optim/adam.py", "Adam and AdamW"),
        Step("optim/schedule.py", "the learning rate of each step"),
        Step("train/step.py", "one update: loss, backward, clip, step"),
        Step("train/trainer.py", "many updates"),
    ],
    "Writing": [
        Step("generate/cache/key_value.py", "keys and values of what was read"),
        Step("generate/protocol/language_model.py", "a model as next_logits(tokens)"),
        Step("generate/sample.py", "from scores to a token: temperature, top-p"),
        Step("generate/loop.py", "token after token"),
    ],
}
# What runs as well and is about something else.
BESIDE = {
    "exact sums, speed, memory": (
        "autograd/primitives/choice.py", "autograd/primitives/exponentials.py",
        "autograd/kernels/block_attention.py", "autograd/kernels/few_rows.py",
        "autograd/kernels/heads.py", "autograd/kernels/masks.py", "autograd/kernels/rows.py",
        "autograd/sublayers/around.py", "autograd/sublayers/attention.py",
        "autograd/sublayers/feed_forward.py", "nn/recompute.py", "nn/sublayers.py",
        "models/decoder/columns.py", "machine.py",
        "generate/fast/fastest.py", "generate/fast/folded.py", "generate/fast/parts.py",
        "generate/fast/prompt.py",
    ),
    "arguments, other dtypes and devices, random numbers": (
        "autograd/engine/arguments.py", "autograd/engine/cotangent.py", "autograd/engine/part.py",
        "autograd/engine/rounding.py",
        "autograd/engine/habits.py", "autograd/primitives/scatter.py",
        "autograd/device/launch.py", "backend.py", "nn/own_stream.py", "nn/promised.py",
    ),
    "batches, many processes, interruption, stop strings": (
        "pretrain/batch.py", "pretrain/score.py", "tokenizers/base.py", "tokenizers/stream.py",
        "train/alone.py", "train/interrupt.py", "train/whole_batch.py", "generate/stop.py",
        "settings.py",
    ),
}
# fmt: on


def steps() -> list[Step]:
    """All steps of the way, in order."""
    return [step for part in WAY.values() for step in part]


def lines_of(file: str) -> tuple[int, int]:
    """(lines, lines of code) of a file below tinylm/: code is what is left without blank lines,
    comments and docstrings.
    """
    source = (PACKAGE / file).read_text(encoding="utf-8")
    return len(source.splitlines()), len(code_lines(source))


def code_lines(source: str) -> set[int]:
    """The numbers of the lines of a program that hold code: no blank line, comment or docstring."""
    silent = {
        tokenize.COMMENT,
        tokenize.NL,
        tokenize.NEWLINE,
        tokenize.INDENT,
        tokenize.DEDENT,
        tokenize.ENDMARKER,
    }
    found = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in silent:
            found.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(
            node
        ):
            text = node.body[0]
            found.difference_update(range(text.lineno, text.end_lineno + 1))
    return found


def page(everything: bool = False) -> str:
    """The way as a page of text, with the lines of each file and of all.

    everything   name what runs beside the way too
    """
    width = max(len(step.file) for step in steps())
    out = ["From an array to a trained GPT, in the order to read it.", ""]
    out += ["lines   code   below tinylm/; * in a first evening"]
    for title, part in WAY.items():
        out += ["", title]
        for step in part:
            lines, code = lines_of(step.file)
            mark = "*" if step.first else " "
            out.append(f"{lines:5}  {code:5} {mark} {step.file:{width}}  {step.idea}")
    out += ["", total("all", steps()), total("*", [step for step in steps() if step.first]), ""]
    out.append("All of it as one program: scripts/train_gpt.py, in a checkout of the repository.")
    if not everything:
        out.append("--all names what runs beside the way: speed, devices, many processes.")
        return "\n".join(out)
    for what, files in BESIDE.items():
        names = ", ".join(file.removesuffix(".py") for file in files)
        out += textwrap.wrap(f"Beside the way, {what}: {names}.", 96, subsequent_indent="  ")
    return "\n".join(out)


def total(name: str, part: list[Step]) -> str:
    """A line of sums over some steps."""
    counts = [lines_of(step.file) for step in part]
    lines, code = (sum(column) for column in zip(*counts))
    return f"{name}: {len(part)} files, {lines:,} lines, {code:,} of them code"
