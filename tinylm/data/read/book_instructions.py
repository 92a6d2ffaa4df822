"""The book's own samples of instructions: three phrasings of one task, and four more kinds of tasks
(book section 2.1.3).

Read next: mix/instruction_mixture.py.
"""

from tinylm.data.read.instructions import Instruction

_SENTENCE = "LLMs are powerful models but are expensive to build."
BOOK_EXAMPLES = (
    Instruction(
        "Read the following sentence, and answer whether it is grammatically correct.",
        "Yes",
        _SENTENCE,
        task="grammar",
    ),
    Instruction(
        f"{_SENTENCE}\nDoes this sentence make sense grammatically?\nAnswer Choices\n- Yes\n- No",
        "Yes",
        task="grammar",
    ),
    Instruction(
        "Yes or No? Yes = the following sentence is grammatically correct. "
        "No = it contains grammatical errors.",
        "Yes",
        _SENTENCE,
        task="grammar",
    ),
    Instruction(
        "Write a short story about three characters.",
        "At twilight Andy, his loyal dog Rocket and his friend Jane came upon a hidden garden of "
        "ancient trees, where the wind whispered. There they shared their dreams and secrets, and "
        "under the stars they made a pact to look for magic in the ordinary: the real adventure "
        "was the time they spent together, each day a treasure to be discovered.",
        "Character 1: A boy named Andy.\nCharacter 2: Andy's dog.\n"
        "Character 3: Andy's friend, Jane.",
        task="story",
    ),
    Instruction(
        "Show me a recipe for making ice cream.",
        "Ingredients: 2 cups heavy cream, 1 cup milk, 3/4 cup sugar, 2 teaspoons vanilla extract, "
        "a pinch of salt.\n1. Whisk everything until the sugar dissolves.\n2. Chill in the fridge "
        "for 2 hours.\n3. Freeze in a shallow dish, stirring every 30 minutes, 3 or 4 times.\n"
        "4. Freeze until solid, 2 hours.\n5. Serve.",
        task="recipe",
    ),
    Instruction(
        "If you buy 5 apples and each apple costs $1.20, how much do you spend in total?",
        "$6.00",
        task="arithmetic",
    ),
    Instruction(
        "Write a Python program to calculate the sum of squares of the following numbers.",
        "numbers = [1,2,10,-9,78]\n"
        "sum_of_squares = sum(x**2 for x in numbers)\n"
        "print(sum_of_squares)",
        "1 2 10 -9 78",
        task="code",
    ),
)
