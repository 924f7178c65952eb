"""How sure a verdict has to be where it may come at one of several looks.

Whoever looks again and again until a test says yes is wrong more often than the test admits. So
the error that is allowed in all, ε, is spent bit by bit (alpha spending: Lan and DeMets, 1983). A
measurement is looked at after 4, 8 and 16 blocks. Each look may use up a fifth of ε; whenever the
measurement ends, the verdict may use what the looks before left:

    at a look           ε/5
    at the end          ε·(1 - looks before / 5)
    the interval        ε·(1 - looks so far / 5)

A verdict that a look found for ε/5 stands at the end, where it needs less. By Boole's inequality
all looks and the end err in ε together, however they depend on one another, as long as the time
budget and no ratio decides when the end comes. The interval gives up the fifth of a look that it
ends with, since a measurement that was stopped had its ratios or their spread by luck more often.

Nothing has to be known but the number of blocks, so that raw samples can be judged again later.
"""

from __future__ import annotations

LOOKS = (4, 8, 16)
"""Numbers of blocks after which a measurement may stop."""
SPENT = 1 / 5
"""The share of the error that a look uses up."""


def at_look(error: float) -> float:
    """What a look may use of the error that is allowed in all."""
    return SPENT * error


def at_end(error: float, blocks: int) -> float:
    """What the verdict may use after so many blocks."""
    return error * (1 - SPENT * sum(look < blocks for look in LOOKS))


def of_interval(error: float, blocks: int) -> float:
    """What the interval may use after so many blocks."""
    return error * (1 - SPENT * sum(look <= blocks for look in LOOKS))
