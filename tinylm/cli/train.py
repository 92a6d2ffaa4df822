"""`tinylm train`: train a small GPT and end with a sample of its text. Without a setting: on Python's own English.

`--resume RUN` goes on with a run, to the same bits as if it had never stopped. Ctrl-C saves and says how to
go on.
"""
import functools
import re
import shlex

from tinylm.cli.options import parse

EXAMPLES = "tinylm train", "tinylm train --data book.txt --tokenizer chars", "tinylm train --resume RUN"
SAMPLE = 200             # tokens of the closing sample
EXCERPT = 400            # tokens of the text that are searched for a prompt


def main(argv):
    """Train; print what becomes of it, a sample, and the commands that go on from here."""
    from tinylm.backend import backend
    from tinylm.parallel.launch import launch
    from tinylm.train import TrainConfig, prepare_run, train_run

    given = {}
    config = parse(argv, TrainConfig, verb="train", about=__doc__, examples=EXAMPLES, given=given)
    backend(config.device)                                   # a missing device is told before anything is made
    report = functools.partial(print, flush=True)
    run = prepare_run(config, report, given)
    summary = launch(lambda comm: train_run(run, comm, report), workers_for(run.config, report))
    if summary["interrupted"]:
        return 130
    report(closing(run, summary))


def workers_for(config, report):
    """How many processes to train with: those asked for, else as many as the cores and the batch allow."""
    from tinylm.backend import cores
    from tinylm.parallel.launch import default_workers, obstacle

    if config.workers or config.device != "cpu":
        return config.workers or 1
    workers = default_workers(config.batch_size)
    why = obstacle() or f"chosen for {cores()} cores and a batch of {config.batch_size}; --workers N sets it"
    report(f"workers: {workers} ({why})")
    return workers


def closing(run, summary):
    """A sample of text, and the commands that go on with the run."""
    from tinylm.generate import generate_text
    from tinylm.train import load_run

    model, tokenizer, config = load_run(summary["run"])
    prompt = some_words(run)
    text = generate_text(model, tokenizer, prompt, SAMPLE, seed=config.seed, temperature=0.8, notice=None)
    where = shlex.quote(summary["run"])
    return "\n".join([
        "", f"A sample, {SAMPLE} tokens after {prompt!r}, temperature 0.8:", "", prompt + text, "", "Go on with",
        f"  tinylm generate {where} {shlex.quote(prompt)}", f"  tinylm eval {where}", f"  tinylm plot {where}",
        f"  tinylm train --resume {where} --steps {2 * summary['step']}",
    ])


def some_words(run):
    """A prompt that the tokenizer surely knows: the first few words of the validation text, or of the text."""
    side = run.data.val if len(run.data.val) else run.data.train
    text = run.tokenizer.decode(side.tokens[:EXCERPT])
    for first in ("[A-Z]", "[A-Za-z]"):                      # the beginning of a sentence, if there is one
        if found := re.search(rf"(?<=\s){first}[^\s\ufffd]*( [^\s\ufffd]+){{1,2}}", text):
            return found[0]
    return text.strip("\ufffd")[:8]
