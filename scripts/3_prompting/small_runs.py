"""What the scripts that train small models from several seeds have in common.

Their command line, their model, one pass over the rows of the training text, and the main function
of those that train one kind of model on so many tokens. Sizes, learning rates and what is measured
are each script's own. Read next: any script that imports it.
"""

import time

from tinylm.finetune import fit
from tinylm.finetune.instruct.instructions import InstructionTuning
from tinylm.models import GPT, GPTConfig
from tinylm.train.experiments.script import command_line

__all__ = ["command_line", "main_of", "read_once", "small_gpt"]


def small_gpt(vocab_size, context, seed, **parts):
    """A GPT of two layers, four heads and width 64, without biases, its two ends not tied.

    parts  fields of GPTConfig, others than these or in their place: positions, n_layer, ..
    """
    settings = {"n_layer": 2, "n_head": 4, "d_model": 64, "norm": "rms", "bias": False}
    config = GPTConfig(vocab_size, context, tied=False, **(settings | parts))
    model = GPT(config, seed)
    # Embeddings ten times GPT-2's: with 0.02 two layers learn more slowly.
    model.tokens.weight.data *= 10
    return model


def read_once(model, rows, batch, rate, seed, task=None):
    """Train a model on rows, each once, at a learning rate that falls from `rate`: the model.

    rows  encoded examples or packed rows, as fit() takes them
    task  as of fit(); None: InstructionTuning
    """
    fit(
        model,
        task or InstructionTuning(),
        rows,
        steps=-(-len(rows) // batch),  # rounded up
        batch_size=batch,
        learning_rate=rate,
        weight_decay=0.0,
        seed=seed,
    )
    return model.eval()


def main_of(about, tokenizer, run, show, verdicts, sizes, quick, plot=None):
    """The main function of a script: a model of every seed, then the tables and the verdicts.

    about      the script's docstring
    tokenizer  function () -> the tokenizer of all seeds
    run        function (tokenizer, seed, tokens, questions, device) -> the measurements of a seed
    show, verdicts  functions of the list of measurements; they print
    sizes      (tokens of training, questions)
    quick      questions with --quick, which also trains on a tenth of the tokens
    plot       function (path, measurements) that draws them, for --plot; None: no such option
    returns    function (argv)
    """

    def main(argv=None):
        less = "two seeds, a tenth of the tokens"
        options, seeds = command_line(argv, about, less, plot=plot is not None)
        tokens, count = sizes
        if options.quick:
            tokens, count = tokens // 10, quick
        words = tokenizer()
        runs = [run(words, seed, tokens, count, options.device) for seed in seeds]
        show(runs)
        print(f"{len(runs)} seeds; {time.process_time():.0f} s of one core")
        verdicts(runs)
        if plot and options.plot:
            plot(options.plot, runs)

    return main
