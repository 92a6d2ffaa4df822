"""`tl.load(RUN)`: a trained model with its tokenizer in one call, for programs of one's own.

What it returns is the TextModel that `tinylm prompt` uses too. Here are the errors of a first try:
a folder of several runs, a file of torch, a name of a hub. Read next: model.py.
"""

import os
from pathlib import Path

from tinylm.errors import CheckpointError, ConfigError
from tinylm.prompt.protocol.model import TextModel
from tinylm.prompt.protocol.opened import is_published
from tinylm.train.checkpoint import AREA, latest

# Files that other libraries write, which hold pickles or graphs, and are not read here.
FOREIGN = (".bin", ".ckpt", ".h5", ".msgpack", ".onnx", ".pkl", ".pt", ".pth")


def load(
    name: str | os.PathLike,
    device: str = "cpu",
    bits: int | None = None,
    chat: bool | None = None,
    system: str | None = None,
) -> TextModel:
    """A trained decoder with its tokenizer, behind the text protocol.

        text = tl.load("runs/mine")
        text.complete("Once upon", max_tokens=40, temperature=0.8, seed=1).text
        text.score("The sky is", [" blue", " green"]).probabilities()
        text.model, text.tokenizer      a tl.models.GPT; encode() and decode()

    name     the directory of a run of `tinylm train`, `finetune` or `align`, or one of its
             checkpoints; "smollm2"; a .gguf or .safetensors file; a folder in Hugging Face's layout
    device   to compute on: "cpu" or "gpu"
    bits     8 or 4: store the weights so while completing (CPU)
    chat     True: prompts are turns of the chat template; False: they are continued as plain text;
             None: True where the model has a template
    system   the system message of a chat; None: that of the template
    returns  TextModel. It is in evaluation mode; after training text.model call
             text.weights_changed()
    raises   CheckpointError for a path that holds no model, ConfigError for a model that does not
             continue texts, MissingExtra for weights that are not installed; each says what to do

    Encoders and encoder-decoders: tl.train.load_run(RUN) gives (model, tokenizer, config),
    tinylm.models.published.load.load_pretrained(NAME) published weights of any kind.
    """
    if not isinstance(name, (str, os.PathLike)):
        raise ConfigError(
            f"tl.load takes the directory of a run, a file or folder of weights, or a name such as "
            f"'smollm2', not {name!r}"
        )
    name = os.path.expanduser(os.fspath(name))
    path = Path(name)
    if path.suffix == ".npz":
        raise CheckpointError(
            f"{name}: an .npz file holds arrays and no model: make the model, then "
            "model.load_state_dict(dict(np.load(path)))"
        )
    if path.suffix in FOREIGN and not path.is_dir():
        raise CheckpointError(
            f"{name}: {path.suffix} files are not read here: have the library that wrote it write "
            "safetensors (transformers: model.save_pretrained(folder)), and give that folder"
        )
    if not is_published(name):
        _check_path(path)
    return TextModel.open(name, device, bits, chat=chat, system=system)


def _check_path(path):
    """Raise CheckpointError for a path beside a model: its folder, or a file or a folder in it."""
    if path.is_file():
        raise CheckpointError(
            f"{path} is a file without weights: give the directory of the run or of the model, "
            f"perhaps {path.resolve().parent}"
        )
    if not path.is_dir() or (path / AREA).exists():
        return
    if path.resolve().name == AREA:
        raise CheckpointError(f"{path} belongs to a run: give {path.resolve().parent}")
    runs = [one for one in path.iterdir() if one.is_dir() and latest(one) is not None]
    if runs:
        runs.sort(key=lambda run: run.stat().st_mtime)  # the newest last
        some = ", ".join(str(run) for run in runs[-4:])
        raise CheckpointError(f"{path} is a folder of runs, not a run; the newest are {some}")
    if (path / "config.json").is_file():
        raise CheckpointError(
            f"{path} has a config.json and no model.safetensors beside it: have transformers write "
            "the weights again, model.save_pretrained(folder)"
        )
