"""The worlds and the models of trained_rag.py: facts in memory, and facts that only texts have.

A world has 16 towns with four facts each. Those of eight towns are the same in every world of a
seed, so training can put them into the weights; those of the other eight are drawn anew for each
world, so the documents alone have them. A base model reads both kinds, and two copies of it are
fine-tuned, on right texts alone and on texts among distractors. Book section 3.2.5. Read next:
trained_rag.py.
"""

from tinylm.backend import Random
from tinylm.data.read.instructions import Instruction
from tinylm.data.synthetic.prompted.retrieval_qa import PLACES, DocumentWorld
from tinylm.finetune import fit
from tinylm.finetune.instruct.instructions import InstructionTuning
from tinylm.generate.retrieval.bm25 import InvertedIndex
from tinylm.models import GPT, GPTConfig
from tinylm.prompt import TextModel
from tinylm.prompt.rag import NO_ANSWER, RagPrompt, encode_rag, rag_examples
from tinylm.tokenizers import WordTokenizer

KNOWN, NEW = PLACES[:8], PLACES[8:]
MODELS = "base", "right text", "distractors"
TEXTS, MISSING = 3, 0.25  # texts in a prompt, and the share of prompts without the right one
BATCH, RATE = 4, 3e-3
# Training gives words their meaning here, so a short instruction will do.
FORM = RagPrompt("Answer from the texts.", refuse=False, text_name="Text")


class Data:
    """The worlds of a seed, and the tokenizer of their words."""

    def __init__(self, seed):
        self.seed = seed
        facts = DocumentWorld(seed).facts  # {(aspect, town): value}
        self.known = {key: value for key, value in facts.items() if key[1] in KNOWN}
        texts = [NO_ANSWER]
        for number in range(20):  # enough to have every word
            for item in questions(self.world(number)):
                texts.append(FORM.prompt(item.question, [item.context] * TEXTS))
                texts.append(item.answer)
        self.tokenizer = WordTokenizer.from_text(" ".join(texts), special=("<end>",))
        self.end = self.tokenizer.special["<end>"]

    def world(self, number, altered=()):
        """World `number` of the seed: its new towns have facts of its own."""
        # Given facts replace drawn ones; 10,000 keeps the worlds of two seeds apart.
        given = {**self.known, **dict(altered)}
        return DocumentWorld(1 + 10_000 * self.seed + number, given)

    def encode(self, examples):
        """Examples with the loss on answers: list of Encoded."""
        return encode_rag(self.tokenizer, examples, end=self.end)


def questions(world, places=PLACES):
    """An Item for each fact about the places."""
    return [world.item(*key) for key in world.facts if key[1] in places]


def from_memory(data, numbers):
    """Known facts as questions without texts, once for each world."""
    items = questions(data.world(0), KNOWN)
    once = [Instruction(FORM.prompt(item.question), item.answer) for item in items]
    # The same facts again and again are what puts them into the weights.
    return once * len(numbers)


def from_right_text(data, numbers):
    """All facts of the worlds, each with its document."""
    found = []
    for number in numbers:
        world = data.world(number)
        pool = list(world.documents.values())
        found += rag_examples(
            questions(world),
            pool,
            texts=1,
            unanswerable=0.0,
            form=FORM,
            seed=number,
        )
    return found


def among_distractors(data, numbers):
    """The same facts, the document among others that BM25 finds, or missing."""
    found = []
    for number in numbers:
        world = data.world(number)
        pool = list(world.documents.values())
        found += rag_examples(
            questions(world),
            pool,
            texts=TEXTS,
            unanswerable=MISSING,
            retriever=InvertedIndex(pool),
            form=FORM,
            seed=number,
        )
    return found


def withheld(data, number, share):
    """A retriever of a world that lacks some documents, and all questions about the world.

    share    of the documents that are missing
    returns  InvertedIndex, list of Item
    """
    world = data.world(number)
    items = questions(world)
    # An exact share, drawn without replacement; BM25 searches what is left.
    order = Random(number, "removed").permutation(len(items)).tolist()
    removed = {items[i].context for i in order[: round(share * len(items))]}
    kept = [text for text in world.documents.values() if text not in removed]
    return InvertedIndex(kept), items


def train(data, worlds, tuned, device, names=MODELS, batch=BATCH, layers=2):
    """The models of a seed, and the tokens that each was trained on.

    names    of MODELS, the first one among them: both kinds of tuning start from it
    batch    examples of a step;  layers  of the models
    returns  {name: TextModel}, {name: int}
    """
    # ALiBi and a feed-forward of width D learnt to read among distractors fastest in trials.
    config = GPTConfig(
        data.tokenizer.vocab_size,
        context=128,
        n_layer=layers,
        n_head=4,
        d_model=64,
        d_hidden=64,
        positions="alibi",
        norm="rms",
        bias=False,
        tied=False,
    )
    # Worlds 1, 2, .. for the base, the next ones for both kinds of tuning: no world is read twice.
    base = range(1, 1 + worlds)
    later = range(1 + worlds, 1 + worlds + tuned)
    lessons = {
        "base": from_memory(data, base) + from_right_text(data, base),
        "right text": from_right_text(data, later),
        "distractors": among_distractors(data, later),
    }
    models, tokens, start = {}, {}, None
    for name in names:
        examples = lessons[name]
        model = GPT(config, data.seed)
        # Embeddings ten times GPT-2's: with 0.02 two layers learn more slowly.
        model.tokens.weight.data *= 10
        if start is not None:  # both kinds of tuning start from the trained base
            model.load_state_dict(start)
        encoded = data.encode(examples)
        steps = -(-len(encoded) // batch)  # rounded up: each example once
        fit(
            model.to(device),
            InstructionTuning(),
            encoded,
            steps=steps,
            batch_size=batch,
            learning_rate=RATE,
            weight_decay=0.0,
            seed=data.seed,
        )
        if start is None:  # copies, since the weights of a model are changed in place
            start = {key: value.copy() for key, value in model.state_dict().items()}
        models[name] = TextModel.of(model.eval(), data.tokenizer, ends=(data.end,))
        tokens[name] = sum(map(len, encoded))
    return models, tokens
