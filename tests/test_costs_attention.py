"""Attention, against heads written as matrix products that count."""

from __future__ import annotations

import numpy as np
import pytest
from helpers_costs import MICROSOFT, executed, fact, ones, ran
from models import Numbers, counted, plain

from gconvtool import costs
from gconvtool.facts import Skip


def heads(q: Numbers, k: Numbers, v: Numbers, tally: list[int]) -> Numbers:
    """B·H·S·D queries; keys and values have as many heads or fewer, which are then shared."""
    out = np.empty((*q.shape[:3], v.shape[-1]))
    share = q.shape[1] // k.shape[1]
    for b, h in np.ndindex(q.shape[:2]):
        keys, values = counted(k[b, h // share], tally), counted(v[b, h // share], tally)
        scores = plain(counted(q[b, h], tally) @ keys.T) / np.sqrt(q.shape[-1])
        weights = np.exp(scores)
        weights /= weights.sum(-1, keepdims=True)
        out[b, h] = plain(counted(weights, tally) @ values)
    return out


def apart(x: Numbers, number: int) -> Numbers:
    """B·S·HD as B·H·S·D."""
    return x.reshape(*x.shape[:2], number, -1).transpose(0, 2, 1, 3)


def together(x: Numbers) -> Numbers:
    return x.transpose(0, 2, 1, 3).reshape(x.shape[0], x.shape[2], -1)


def some(*shape: int) -> Numbers:
    return np.random.default_rng(sum(shape)).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("shared", [1, 2, 4])
@pytest.mark.parametrize("flat", [False, True])
def test_the_standards_attention(shared: int, flat: bool) -> None:
    q, k, v = some(2, 4, 3, 8), some(2, shared, 5, 8), some(2, shared, 5, 6)
    tally = [0]
    expected = heads(q, k, v, tally)
    inputs = [together(x) if flat else x for x in (q, k, v)]
    numbers = {"q_num_heads": 4, "kv_num_heads": shared} if flat else {}
    node, (made,) = executed("Attention", *inputs, opset=23, **numbers)
    np.testing.assert_allclose(made, together(expected) if flat else expected, atol=1e-5)
    assert costs.macs(node) == tally[0]
    assert costs.elementwise_ops(node) == 2 * 2 * 4 * 3 * 5


def test_keys_of_the_past_count() -> None:
    q, k, v = some(1, 2, 3, 8), some(1, 2, 3, 8), some(1, 2, 3, 6)
    past = some(1, 2, 4, 8), some(1, 2, 4, 6)
    tally = [0]
    heads(q, np.concatenate([past[0], k], 2), np.concatenate([past[1], v], 2), tally)
    node = ran("Attention", q, k, v, None, *past, opset=23, outputs=3)
    assert node.outputs[1] == (1, 2, 7, 8)
    assert costs.macs(node) == tally[0]


def test_a_past_of_open_length_stays_open() -> None:
    past = ("N", 2, "P", 8)
    node = fact("Attention", *[("N", 2, 3, 8)] * 3, (), past, past, out=("N", 2, 3, 8))
    assert costs.formula(node) == "96·N·(P + 3)"


@pytest.mark.parametrize("past", [0, 4])
def test_attention_that_projects(past: int) -> None:
    x, w, b = some(2, 3, 6), some(6, 24), some(24)
    before = some(2, 2, 2, past, 4)  # keys and values, batch, heads, length, size
    tally = [0]
    projected = plain(counted(x, tally) @ counted(w, tally)) + b
    q, k, v = (apart(part, 2) for part in np.split(projected, 3, -1))
    k, v = np.concatenate([before[0], k], 2), np.concatenate([before[1], v], 2)
    expected = together(heads(q, k, v, tally))
    node, (made, _) = executed(
        "Attention", x, w, b, None, before, domain=MICROSOFT, num_heads=2, outputs=2
    )
    np.testing.assert_allclose(made, expected, atol=1e-5)
    assert costs.macs(node) == tally[0]
    assert costs.bias_adds(node) == 2 * 3 * 24


def test_attention_with_values_of_another_width() -> None:
    x, w, b = some(1, 3, 6), some(6, 8 + 8 + 4), some(20)
    tally = [0]
    q, k, v = np.split(plain(counted(x, tally) @ counted(w, tally)), [8, 16], -1)
    heads(apart(q, 2), apart(k, 2), apart(v, 2), tally)
    node = ran("Attention", x, w, b, domain=MICROSOFT, num_heads=2, qkv_hidden_sizes=[8, 8, 4])
    assert costs.macs(node) == tally[0]


def test_quantised_attention() -> None:
    x, w, scale = (
        np.ones((2, 3, 8), np.uint8), np.ones((8, 24), np.uint8), np.float32(1)
    )  # fmt: skip
    tally = [0]
    counted(x, tally) @ counted(w, tally)
    heads(*[ones(2, 2, 3, 4)] * 3, tally)
    zero = np.uint8(0)
    node = ran(
        "QAttention", x, w, ones(24), scale, scale, None, zero, zero,
        domain=MICROSOFT, num_heads=2,
    )  # fmt: skip
    assert costs.macs(node) == tally[0]


@pytest.mark.parametrize("form", ["apart", "crossed", "keys and values packed", "all packed"])
def test_multi_head_attention_in_all_its_forms(form: str) -> None:
    q, k, v = some(2, 2, 5, 4), some(2, 2, 5, 4), some(2, 2, 5, 4)
    tally = [0]
    expected = together(heads(q, k, v, tally))
    if "packed" in form:  # not for CPUs
        inputs = [(2, 5, 2, 3, 4)] if "all" in form else [(2, 5, 8), (2, 5, 2, 2, 4)]
        node = fact(
            "MultiHeadAttention",
            *inputs,
            out=expected.shape,
            domain=MICROSOFT,
            attributes={"num_heads": 2},
        )
    else:
        others = [k, v] if form == "crossed" else [together(k), together(v)]
        node, (made,) = executed(
            "MultiHeadAttention", together(q), *others, domain=MICROSOFT, num_heads=2
        )
        np.testing.assert_allclose(made, expected, atol=1e-5)
    assert costs.macs(node) == tally[0]


def test_multi_head_attention_after_a_past_and_with_a_bias() -> None:
    q, k, v = ones(2, 1, 8), ones(2, 1, 8), ones(2, 1, 8)
    past = ones(2, 2, 6, 4)
    tally = [0]
    heads(ones(2, 2, 1, 4), ones(2, 2, 7, 4), ones(2, 2, 7, 4), tally)
    node = ran(
        "MultiHeadAttention", q, k, v, ones(24), None, None, past, past,
        domain=MICROSOFT, num_heads=2, outputs=3,
    )  # fmt: skip
    assert costs.macs(node) == tally[0]
    assert costs.bias_adds(node) == 2 * 24


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("past", [0, 6])
def test_grouped_queries(packed: bool, past: int) -> None:
    q, k, v = some(1, 4, 1, 8), some(1, 2, 1, 8), some(1, 2, 1, 8)
    before = some(1, 2, past, 8) if past else None
    tally = [0]
    heads(q, *[ones(1, 2, past + 1, 8)] * 2, tally)
    parts = [together(x) for x in (q, k, v)]
    node = ran(
        "GroupQueryAttention",
        *([np.concatenate(parts, -1), None, None] if packed else parts),
        before, before, np.array([past], np.int32), np.array(past + 1, np.int32),
        domain=MICROSOFT, num_heads=4, kv_num_heads=2, outputs=3,
    )  # fmt: skip
    assert costs.macs(node) == tally[0]


def test_a_decoder_takes_one_step() -> None:
    row, past = (2, 1, 8), (2, 2, 6, 4)
    tally = [0]
    heads(ones(2, 2, 1, 4), ones(2, 2, 7, 4), ones(2, 2, 7, 4), tally)
    node = fact(
        "DecoderMaskedMultiHeadAttention", row, row, row, (), (), past, past,
        out=row, domain=MICROSOFT, attributes={"num_heads": 2},
    )  # fmt: skip
    assert costs.macs(node) == tally[0]
    crossed = fact(
        "DecoderMaskedMultiHeadAttention", row, (2, 2, 7, 4), (2, 2, 7, 4),
        out=row, domain=MICROSOFT, attributes={"num_heads": 2},
    )  # fmt: skip
    assert costs.macs(crossed) == tally[0]


CACHE = (1, 2, 64, 8)
BUFFERS = [
    pytest.param("Attention", [(1, 3, 6), (6, 24)], {"past_present_share_buffer": 1}, id="shared"),
    pytest.param("MultiHeadAttention", [*[(1, 1, 8)] * 3, *[()] * 5, (1,)], {}, id="length given"),
    pytest.param("GroupQueryAttention", [*[(1, 1, 16)] * 3, CACHE, CACHE], {}, id="same length"),
    pytest.param("PackedAttention", [(7, 6), (6, 24)], {}, id="packed"),
    pytest.param("PackedMultiHeadAttention", [(7, 8)] * 3, {}, id="packed heads"),
    pytest.param("SparseAttention", [(1, 3, 8)] * 3, {}, id="no rule"),
]


@pytest.mark.parametrize(("op", "inputs", "attributes"), BUFFERS)
def test_what_depends_on_data_is_unknown(op: str, inputs: list, attributes: dict) -> None:
    out = [(1, 3, 8), CACHE, CACHE]
    node = fact(op, *inputs, out=out, domain=MICROSOFT, attributes={"num_heads": 2, **attributes})
    answer = costs.macs(node)
    assert isinstance(answer, Skip)
    assert "data" in answer.reason or "no rule" in answer.reason


def test_masks_are_elementwise_and_rotation_is_not_known() -> None:
    row = (1, 3, 8)
    masked = fact(
        "MultiHeadAttention", row, row, row, (), (1, 3), (1, 2, 3, 3), out=row,
        domain=MICROSOFT, attributes={"num_heads": 2},
    )  # fmt: skip
    assert costs.elementwise_ops(masked) == 4 * 2 * 3 * 3
    rotated = fact("Attention", (1, 3, 6), (6, 24), out=row, domain=MICROSOFT,
                   attributes={"num_heads": 2, "do_rotary": 1})  # fmt: skip
    assert costs.elementwise_ops(rotated) is None
