"""The ways to write one rewritten convolution into a graph.

All compute the same function, to rounding, with the same MACs; their times differ. A separable
convolution of rank r, in either order, is written as

    sum         r branches of two convolutions each, outputs added
    concat      the pointwise part in one, for all branches; r depthwise ones, or one
    multiplier  two convolutions: r channels between them for each at the depthwise one's other side
    split       multiplier with groups written out: Split, dense convolutions, Concat; for targets
                without groups

onnxruntime's CPU kernels for true depthwise convolutions are fast in 2-D, and an Add fuses with
them: sum is the fastest there, concat takes 1.0 to 1.3 times as long and multiplier 1.2 to 2.1
times. In 1-D and 3-D there are no such kernels, and multiplier, which unfolds its input once, takes
0.4 to 1.1 times as long as sum; nor are there any for transposed ones, where it takes 0.4 to 0.7
times as long in pw-dw, and as long in dw-pw. So auto is sum for convolutions in 2-D, and multiplier
elsewhere. Convolutions without branches have one form, and that of split.
"""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

Spelling: TypeAlias = Literal["auto", "sum", "concat", "multiplier", "split"]
SPELLINGS: tuple[Spelling, ...] = get_args(Spelling)


def resolve(spelling: Spelling, axes: int, transposed: bool = False) -> Spelling:
    """What auto stands for, in a convolution over so many spatial axes."""
    if spelling != "auto":
        return spelling
    return "sum" if axes == 2 and not transposed else "multiplier"
