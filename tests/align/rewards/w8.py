"""The worked example of the book's Fig. 4.11: two solutions with the right answer, one of them with
two wrong steps.
"""

from tinylm.data.read.items import Item

ITEM = Item(
    "Jessica has many apps on her phone. The number of apps is divisible by 5. If she downloads 10 "
    "more apps she will still have fewer than 50. What is the maximum number of apps Jessica could "
    "have?",
    "35",
)
FIRST = [
    "x must be a multiple of 5: x = 0 (mod 5).",
    "After downloading 10, the total must be less than 50: x + 10 < 50, so x < 40.",
    "x is a multiple of 5 and below 40: the largest is 35.",
    "Check: 35 + 10 = 45 < 50.",
    "The maximum original number is 35.",
]
SECOND = [
    "The number of apps x is divisible by 5, a multiple of 5.",
    "The new total x + 10 must be less than 50; this simplifies to x < 40.",
    "x must be less than or equal to the largest multiple of 5, which is 40.",
    "But x + 10 must not be 50 or more, so we subtract 5 from 40.",
    "The final result is 35.",
]
# steps 3 and 4 of the second are problematic
LABELS = [[1, 1, 1, 1, 1], [1, 1, 0, 0, 1]]
