"""Attention: every query meets every key, and every score meets a value.

    MACs = |queries| · T + |output| · T  (+ tokens · |weights| where the operator projects)

T is the number of keys, those of the past included. Heads need no rule: |queries| = B·S·H·D, and
heads that share keys spare memory, no products. Scores that a mask, a window or causality hides
count, as positions in the padding do. Per score, scaling, softmax and each mask are elementwise.

A cache in a buffer that is longer than what it holds hides T, which is then unknown.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from gconvtool.costs.node import axis, given, known, output, plus, qualified, shape, whole
from gconvtool.costs.term import Factor, Term, Terms
from gconvtool.facts import Dim, NodeFact, Shape, Skip

BUFFERED = Skip("its past is a buffer, and how much of it is filled depends on data")
PACKED = Skip("its sequences are packed, and how long each is depends on data")


@dataclass(frozen=True)
class Scores:
    """What meets what: `rows` are batch, query positions and heads; a row has T = `keys` scores."""

    queries: Shape
    output: Shape
    rows: Shape
    keys: Dim

    @property
    def terms(self) -> Terms:
        """Both products."""
        keys = Factor("keys", (self.keys,))
        return (
            Term((Factor("queries", self.queries), keys), "Q·Kᵀ"),
            Term((Factor("output", self.output), keys), "scores·V"),
        )


def attention(node: NodeFact) -> Terms | Skip:
    """Projections where the operator has them, then both products with the scores."""
    scores = SCORES[qualified(node)](node)
    if isinstance(scores, Skip):
        return scores
    if qualified(node) not in PROJECTING:
        return scores.terms
    tokens = _first(shape(node, 0), 2)
    weights = Factor("weights", shape(node, 1))
    return (Term((Factor("tokens", tokens), weights), "projections"), *scores.terms)


def bias_adds(node: NodeFact) -> int | None:
    """The bias of the projections; mask and `attention_bias` belong to the scores."""
    index = BIASES.get(qualified(node))
    if index is None or not given(node, index):
        return 0
    return known(_first(shape(node, 0), 2), shape(node, index))


def elementwise_ops(node: NodeFact) -> int | None:
    """Two per score and one a mask; None where more is fused in: rotation, caps, norms, sinks."""
    scores = SCORES[qualified(node)](node)
    more = any(node.attributes.get(name) for name in ("do_rotary", "softcap", "smooth_softmax"))
    extra = qualified(node).endswith("GroupQueryAttention") and any(
        given(node, index) for index in (11, 14, 15)
    )
    if isinstance(scores, Skip) or more or extra:
        return None
    number = known(scores.rows, (scores.keys,))
    masks = sum(given(node, index) for index in MASKS[qualified(node)])
    return None if number is None else number * (2 + masks)


def _standard(node: NodeFact) -> Scores:
    """B·H·S·D, or B·S·HD with the number of heads as an attribute: S is the last but one."""
    queries = shape(node, 0)
    if queries is not None and len(queries) == 4:
        rows: Shape = queries[:3]
    else:
        rows = _rows(queries, node, "q_num_heads")
    past = axis(shape(node, 4), 2) if given(node, 4) else 0
    return Scores(queries, output(node), rows, plus(past, axis(shape(node, 1), -2)))


def _merged(node: NodeFact, past: int) -> Scores | Skip:
    """Q, K and V projected by one matrix; without `qkv_hidden_sizes` they are as wide as V."""
    if whole(node, "past_present_share_buffer"):
        return BUFFERED
    tokens = _first(shape(node, 0), 2)
    widths = node.attributes.get("qkv_hidden_sizes")
    width = widths[0] if isinstance(widths, tuple) and widths else axis(output(node), -1)
    queries = None if tokens is None else (*tokens, width if isinstance(width, int | str) else None)
    before = axis(shape(node, past), 3) if given(node, past) else 0
    rows = _rows(queries, node, "num_heads")
    return Scores(queries, output(node), rows, plus(before, axis(tokens, 1)))


def _multi_head(node: NodeFact) -> Scores | Skip:
    """Q, K and V apart, K and V packed (B·T·H·2·D), or all three (B·S·H·3·D)."""
    if given(node, 8):
        return BUFFERED
    queries, keys = shape(node, 0), shape(node, 1)
    if queries is not None and len(queries) == 5:
        queries, fresh = (*queries[:3], queries[4]), queries[1]
    else:
        fresh = axis(keys, 2 if keys is not None and len(keys) == 4 else 1)
    past = axis(shape(node, 6), 2) if given(node, 6) else 0
    return Scores(queries, output(node), _rows(queries, node, "num_heads"), plus(past, fresh))


def _grouped(node: NodeFact) -> Scores | Skip:
    """Queries are as wide as the output, also where Q, K and V are packed.

    What follows a past has T positions in its present, unless both are one buffer: then the present
    is as long as the past.
    """
    rows = _rows(shape(node, 0), node, "num_heads")
    if not given(node, 3):
        fresh = axis(shape(node, 1) if given(node, 1) else shape(node, 0), 1)
        return Scores(output(node), output(node), rows, fresh)
    past, present = axis(shape(node, 3), 2), axis(output(node, 1), 2)
    if past == present or whole(node, "sliding_window_cache"):
        return BUFFERED
    return Scores(output(node), output(node), rows, present)


def _decoding(node: NodeFact) -> Scores | Skip:
    """One query position; the keys are one more than the past, or all of another sequence's."""
    if whole(node, "past_present_share_buffer") or given(node, 7):
        return BUFFERED
    if not given(node, 1):
        return Skip("its queries, keys and values are packed, and how wide each is is not known")
    queries, keys = shape(node, 0), shape(node, 1)
    crossed = keys is not None and len(keys) == 4
    past = axis(shape(node, 5), 2) if given(node, 5) and not crossed else 0
    length = plus(past, axis(keys, 2 if crossed else 1))
    return Scores(queries, output(node), _rows(queries, node, "num_heads"), length)


def _first(dims: Shape, count: int) -> Shape:
    return None if dims is None else dims[:count]


def _rows(queries: Shape, node: NodeFact, heads: str) -> Shape:
    return None if queries is None else (*queries[:2], whole(node, heads) or None)


SCORES: Mapping[str, Callable[[NodeFact], Scores | Skip]] = {
    "Attention": _standard,
    "com.microsoft.Attention": lambda node: _merged(node, 4),
    "com.microsoft.DecoderMaskedMultiHeadAttention": _decoding,
    "com.microsoft.DecoderMaskedSelfAttention": lambda node: _merged(node, 4),
    "com.microsoft.GroupQueryAttention": _grouped,
    "com.microsoft.MultiHeadAttention": _multi_head,
    "com.microsoft.PackedAttention": lambda node: PACKED,
    "com.microsoft.PackedMultiHeadAttention": lambda node: PACKED,
    "com.microsoft.QAttention": lambda node: _merged(node, 8),
}
PROJECTING = frozenset(
    "com.microsoft." + op for op in ("Attention", "DecoderMaskedSelfAttention", "QAttention")
)
BIASES: Mapping[str, int] = dict.fromkeys(PROJECTING, 2)
"""Which input is the bias of the projections. What MultiHeadAttention adds is in its own rule."""
MASKS: Mapping[str, tuple[int, ...]] = {
    "Attention": (3,),
    "com.microsoft.Attention": (3, 5),
    "com.microsoft.DecoderMaskedMultiHeadAttention": (3, 4),
    "com.microsoft.DecoderMaskedSelfAttention": (3, 5),
    "com.microsoft.GroupQueryAttention": (10,),
    "com.microsoft.MultiHeadAttention": (4, 5),
    "com.microsoft.QAttention": (5,),
}
"""Which inputs hide or shift scores."""
