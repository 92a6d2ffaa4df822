"""`tinylm eval RUN`: loss, perplexity and bits per byte of a trained model on a text.

Without --data the text is what the run kept for validation. Bits per byte compare models with different tokenizers.
"""
import json
import tempfile
from dataclasses import dataclass

from tinylm.cli.options import parse
from tinylm.errors import DataError
from tinylm.train.settings import at_least, setting


@dataclass
class EvalConfig:
    """What `tinylm eval` takes."""

    data: str = setting("", "text to score: a file, or a directory of text files; none: the run's validation text")
    batch_size: int = setting(0, "windows scored at a time; 0: as many as in training", at_least(0))
    device: str = setting("cpu", "cpu or gpu")
    json: bool = setting(False, "print one JSON object instead of lines")


def main(argv):
    """Score a model on a text and print the result."""
    from tinylm.backend import backend
    from tinylm.train import checkpoint, load_run

    config, (path,) = parse(argv, EvalConfig, positionals=("RUN",), verb="eval", about=__doc__,
                            examples=("tinylm eval RUN", "tinylm eval RUN --data book.txt --json"))
    backend(config.device)
    run, found = checkpoint.find(path)
    model, tokenizer, trained = load_run(found)
    model.to(config.device)
    with tempfile.TemporaryDirectory(prefix="tinylm-eval-") as aside:
        side, data = text_of(config.data, run, tokenizer, aside)
        batch_size = config.batch_size or trained.batch_size
        result = {"run": str(found), "data": config.data or f"{run}, validation text",
                  **score(model, data, side, trained.context, batch_size, config.device)}
    if config.json:
        print(json.dumps(result))
        return
    print(f"{result['run']} on {result['data']}: {result['tokens']:,} tokens scored")
    print(f"  loss           {result['loss']:.4f} nats per token")
    print(f"  perplexity     {result['perplexity']:.3f}")
    print(f"  bits per byte  {result['bits_per_byte']:.4f}")


def text_of(path, run, tokenizer, aside):
    """The text to score, as ("train" or "val", Prepared); a text of the user's own is encoded into `aside`."""
    from tinylm.data import Prepared, prepare, stream_documents

    if path:
        return "train", prepare(stream_documents(path), tokenizer, aside, val_fraction=0)
    data = Prepared.open(run / "data", tokenizer.vocab_size)
    if not len(data.val):
        raise DataError(f"{run} kept no text for validation (val_fraction 0): give one with --data FILE")
    return "val", data


def score(model, data, side, context, batch_size, device):
    """Mean loss over windows that stand side by side, as the trainer validates. Returns a dict of numbers."""
    from tinylm.data import EvenWindows
    from tinylm.pretrain import CausalLM
    from tinylm.train import evaluate, perplexity

    tokens = data.train.tokens if side == "train" else data.val.tokens
    windows = EvenWindows(tokens, context)
    loss, count = evaluate(model, CausalLM(), windows, batch_size, device=device)
    return {"tokens": count, "loss": loss, "perplexity": perplexity(loss),
            "bits_per_byte": data.bits_per_byte(loss, side)}
