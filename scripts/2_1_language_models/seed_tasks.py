"""Instruction tuning on instructions that people wrote: the loss on answers that were held back.

Book section 2.1.3. A small GPT of Python's English is tuned on 175 seed tasks of Self-Instruct
(Wang et al. 2023), once with the loss on answers alone and once on all tokens, and both are
measured on the answers of 30 tasks held back. One seed and few samples: a look, no verdict. About
a minute on one core. `python scripts/2_1_language_models/seed_tasks.py --data DIR [--seed N]
[--device cpu|gpu] [--quick]` reads DIR/instruct/self_instruct_seed_tasks.jsonl; without --data it
has nothing to read and ends. --quick is one epoch after 50 steps of pre-training. Read next:
instruction_tuning.py, whose facts are known.

Measured output:

    175 seed tasks: 109 to learn from, 30 held back; 67 cut, 36 left out
      nats per answer token held back: 6.010 before tuning
      5.364 after 5 epochs, loss on answers alone
      5.275 after 5 epochs, loss on all tokens
"""

import argparse
import os
from pathlib import Path

from tinylm.backend import Random
from tinylm.data import python_documentation, without_repeats
from tinylm.data.read.instructions import read_instructions
from tinylm.finetune import fit
from tinylm.finetune.instruct.conversations import MARKS, ROLES, encode_samples
from tinylm.finetune.instruct.instructions import InstructionTuning, answer_loss
from tinylm.models import GPT, GPTConfig
from tinylm.pretrain import CausalLM
from tinylm.tokenizers import BPETokenizer
from tinylm.train.experiments.compare import ONLY_RUNS


def seed_tasks(path, device, seed, steps, epochs):
    """Print the loss on held-out answers, before and after tuning."""
    samples = read_instructions(path)
    text = without_repeats(python_documentation())[:200_000]
    words = BPETokenizer.train(
        [text, *(f"{s.user}\n{s.output}" for s in samples)], 1024, special=MARKS
    )
    model = GPT(GPTConfig(words.vocab_size, 128, 2, 4, 96), seed).to(device)
    ids = words.encode(text)
    rows = list(ids[: len(ids) // 129 * 129].reshape(-1, 129))
    fit(model, CausalLM(), rows, steps=steps, batch_size=16, learning_rate=4e-3)
    examples, cut, dropped = encode_samples(words, ROLES, samples, 128)
    # 30 held-out answers
    order = Random(seed, "split").permutation(len(examples)).tolist()
    task = InstructionTuning()
    held = [examples[i] for i in order[:30]]
    train = [examples[i] for i in order[30:]]
    print(
        f"{len(samples)} seed tasks: {len(train)} to learn from, {len(held)} held back; "
        f"{cut} cut, {dropped} left out\n"
        f"  nats per answer token held back: {answer_loss(model, task, held)[0]:.3f} before tuning"
    )
    state = {name: value.copy() for name, value in model.state_dict().items()}
    for whole, name in ((False, "answers alone"), (True, "all tokens")):
        model.load_state_dict(state)
        task = InstructionTuning(whole)
        fit(model, task, train, epochs=epochs, batch_size=16, learning_rate=1e-3, seed=seed)
        loss = answer_loss(model, task, held)[0]
        print(f"  {loss:.3f} after {epochs} epochs, loss on {name}")


def main(argv=None):
    """Find the file, and run."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--data", default=os.environ.get("TINYLM_DATA"))
    options = parser.parse_args(argv)
    path = Path(options.data or "") / "instruct" / "self_instruct_seed_tasks.jsonl"
    if not options.data or not path.exists():
        print("no seed tasks to read: give --data DIR with instruct/self_instruct_seed_tasks.jsonl")
        return
    steps, epochs = (50, 1) if options.quick else (250, 5)
    if options.quick:
        print(ONLY_RUNS)
    seed_tasks(path, options.device, options.seed, steps, epochs)


if __name__ == "__main__":
    main()
