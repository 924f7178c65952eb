"""Bytes moved, and the peak of live activations against allocations simulated with plain sets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from models import model

from gconvtool.facts import Body, NodeFact, Parameter, Shape, Survey, Tensor
from gconvtool.graph import shapes
from gconvtool.graph.survey import survey
from gconvtool.memory import (
    OVERWRITING,
    VIEWS,
    Peak,
    activation_bytes,
    constants,
    peak,
    tensor_bytes,
    weight_bytes,
)

WEIGHT = Parameter("w", (7,), True, 8)


def node(
    op: str, reads: str, writes: str, sizes: Mapping[str, int | None], **facts: Any
) -> NodeFact:
    """A node over values of one byte an element; the value w is a constant."""
    names, made = tuple(reads.split()), tuple(writes.split())
    shaped = {name: (size,) for name, size in sizes.items()}
    return NodeFact(
        name=made[0],
        op=op,
        domain="",
        inputs=tuple(shaped.get(name, (7,)) for name in names),
        outputs=tuple(shaped[name] for name in made),
        attributes={},
        parameters=tuple(WEIGHT if name == "w" else None for name in names),
        reads=names,
        writes=made,
        input_bits=(8,) * len(names),
        output_bits=(8,) * len(made),
        **facts,
    )


def network(nodes: list[NodeFact], fed: dict[str, int | None], kept: str) -> Survey:
    inputs = tuple(Tensor(name, (size,), 8) for name, size in fed.items())
    return Survey(tuple(nodes), {}, inputs=inputs, outputs=tuple(kept.split()))


@pytest.mark.parametrize(
    ("shape", "bits", "bytes_"),
    [((2, 3), 32, 24), ((), 64, 8), ((5,), 4, 3), ((0, 9), 16, 0), (("N", 3), 8, None)],
)
def test_a_tensor_takes_its_bits_packed(shape: Shape, bits: int, bytes_: int | None) -> None:
    assert tensor_bytes(shape, bits) == bytes_
    assert tensor_bytes(shape, None) is None
    assert tensor_bytes(None, bits) is None


def test_a_convolution_reads_and_writes_each_of_its_tensors_once() -> None:
    graph = """
    g (float[1, 4, 6, 6] x, float[1, 4, 6, 6] u) => (float[1, 8, 4, 4] y, float[1, 4, 6, 6] z)
    <float16[8, 4, 3, 3] half = {1}> { w = Cast <to = 1> (half) y = Conv(x, w) z = Mul(u, u) }
    """
    facts = surveyed(graph.replace("= {1}", "= {" + ",".join(["1"] * 288) + "}"))
    cast, conv, square = facts.nodes
    known = constants(facts)
    assert (weight_bytes(conv, known), activation_bytes(conv, known)) == (
        8 * 4 * 3 * 3 * 2,  # stored in half precision
        (4 * 6 * 6 + 8 * 4 * 4) * 4,
    )
    assert activation_bytes(square, known) == 2 * 4 * 6 * 6 * 4
    assert (weight_bytes(cast, known), activation_bytes(cast, known)) == (0, 0)
    assert activation_bytes(cast) == 288 * (2 + 4)  # where nobody says that it reads a constant


@pytest.mark.parametrize("op", sorted(VIEWS))
def test_views_move_nothing(op: str) -> None:
    view = node(op, "x", "y", {"x": 6, "y": 6})
    assert (weight_bytes(view), activation_bytes(view)) == (0, 0)


def test_the_shape_of_a_tensor_is_read_without_its_values() -> None:
    assert activation_bytes(node("Shape", "x", "y", {"x": 600, "y": 16})) == 16


def test_bytes_of_what_is_not_known_are_not_known() -> None:
    assert activation_bytes(node("Relu", "x", "y", {"x": 6, "y": None})) is None
    assert activation_bytes(replace(node("Relu", "x", "y", {"x": 6, "y": 6}), reads=())) is None
    chain = [node("Relu", "x", "y", {"x": 6, "y": None}), node("Relu", "y", "z", {"z": 6})]
    assert peak(network(chain, {"x": 6}, "z")) is None
    assert peak(network(chain[1:], {"y": None}, "z")) is None
    assert peak(network([], {"x": 6}, "x")) is None


def test_a_chain_holds_two_maps_and_activations_overwrite() -> None:
    sizes = {"a": 50, "b": 40, "c": 40, "d": 40}
    chain = [
        node("Conv", "x w", "a", sizes),
        node("Conv", "a w", "b", sizes),
        node("Relu", "b", "c", sizes),
        node("Reshape", "c w", "d", sizes),
    ]
    assert peak(network(chain, {"x": 10}, "d")) == Peak(50 + 40, "b")
    assert peak(network(chain, {"x": 10}, "a d")) == Peak(50 + 40, "b")
    assert peak(network(chain, {"x": 10}, "b d")) == Peak(50 + 40, "b")
    wide = [*chain, node("Conv", "b d", "e", {"e": 5})]
    assert peak(network(wide, {"x": 10}, "e")) == Peak(50 + 40, "b")
    assert peak(network([*wide, node("Conv", "d b", "f", {"f": 9})], {"x": 10}, "e f")) == Peak(
        40 + 40 + 5 + 9, "f"
    )


def test_what_was_fed_is_not_overwritten() -> None:
    assert peak(network([node("Relu", "x", "y", {"y": 6})], {"x": 6}, "y")) == Peak(12, "y")


def test_what_is_computed_from_constants_is_one_unless_it_is_random() -> None:
    sizes = {"k": 900, "y": 5, "n": 700, "z": 5}
    nodes = [node("Cast", "w", "k", sizes), node("Conv", "x k", "y", sizes)]
    assert peak(network(nodes, {"x": 3}, "y")) == Peak(3 + 5, "y")
    noise = [node("RandomNormal", "", "n", sizes), node("Conv", "n w", "z", sizes)]
    assert peak(network(noise, {}, "z")) == Peak(700 + 5, "z")


OPS = ("Conv", "Relu", "Add", "Reshape", "Shape")


@st.composite
def networks(draw: st.DrawFn) -> Survey:
    """Random graphs whose views are as large as what they view."""
    sizes: dict[str, int | None] = {name: draw(st.integers(1, 9)) for name in ("x0", "x1")}
    fed, nodes = dict(sizes), []
    for index in range(draw(st.integers(1, 12))):
        op, name = draw(st.sampled_from(OPS)), f"v{index}"
        reads = draw(st.lists(st.sampled_from([*sizes, "w"]), min_size=1, max_size=3))
        sizes[name] = draw(st.integers(1, 3))
        if op == "Reshape":
            sizes[name] = sizes.get(reads[0], 7)
        nodes.append(node(op, " ".join(reads), name, sizes))
    return network(nodes, fed, " ".join(draw(st.sets(st.sampled_from([*sizes]), max_size=3))))


def simulated(graph: Survey) -> int:
    """By the definition, value by value: who needs what, when."""
    fed = {tensor.name for tensor in graph.inputs}
    maker = {n.name: (i, n) for i, n in enumerate(graph.nodes)}
    size = {t.name: t.shape[0] for t in graph.inputs if t.shape}
    size |= {n.name: n.outputs[0][0] for n in graph.nodes if n.outputs[0]}

    def constant(name: str) -> bool:
        return name == "w" or (name in maker and all(map(constant, maker[name][1].reads)))

    def root(name: str) -> str:
        made = maker.get(name)
        viewing = made and made[1].op in VIEWS and not constant(made[1].reads[0])
        return root(made[1].reads[0]) if made and viewing else name

    def needed(name: str, after: int) -> bool:
        readers = (n for n in graph.nodes[after:] if any(root(r) == name for r in n.reads))
        return any(root(kept) == name for kept in graph.outputs) or next(readers, None) is not None

    def held(index: int, now: NodeFact) -> int:
        born = fed | {n.name for n in graph.nodes[:index] if root(n.name) == n.name}
        alive = {name for name in born if not constant(name) and needed(name, index)}
        if constant(now.name) or root(now.name) != now.name:
            return sum(size[name] for name in alive)
        dying = {name for name in alive - fed if not needed(name, index + 1)} & set(
            map(root, now.reads)
        )
        over = now.op in OVERWRITING and any(size[name] == size[now.name] for name in dying)
        return sum(size[name] for name in alive) + (0 if over else size[now.name])

    return max(held(index, now) for index, now in enumerate(graph.nodes))


@given(networks())
def test_the_peak_is_that_of_a_simulation(graph: Survey) -> None:
    found = peak(graph)
    assert found is not None
    assert found.bytes == simulated(graph)
    assert found.at in {n.name for n in graph.nodes}


def holder(op: str, reads: str, bodies: tuple[Body, ...]) -> NodeFact:
    return node(op, reads, "y", {"y": 20}, bodies=bodies)


def test_an_if_adds_its_larger_branch_and_its_results_are_its_outputs() -> None:
    small = Body("then", (node("Conv", "x w", "y/t", {"y/t": 20}),), results=("y/t",))
    large = Body(
        "else",
        (
            node("Conv", "x w", "y/a", {"y/a": 70}),
            node("Conv", "y/a w", "y/b", {"y/b": 60}),
            node("Conv", "y/b w", "y/e", {"y/e": 20}),
        ),
        results=("y/e",),
    )
    nodes = [
        node("Conv", "c w", "x", {"x": 10}),
        holder("If", "c", (small, large)),
        node("Conv", "y w", "z", {"z": 1}),
    ]
    # c is not needed once the If runs; x is, although only the branches read it
    assert peak(network(nodes, {"c": 1}, "z")) == Peak(1 + 10 + 20 + 70 + 60, "y/b")
    alone = [nodes[0], replace(nodes[1], bodies=(small,)), nodes[2]]
    assert peak(network(alone, {"c": 1}, "z")) == Peak(1 + 10 + 20, "y")


def test_a_loop_holds_the_value_of_the_last_trip_beside_the_new_one() -> None:
    body = Body(
        "body",
        (
            node("Conv", "y/v w", "y/a", {"y/v": 20, "y/a": 300}),
            node("Conv", "y/a k", "y/r", {"y/r": 20}),
        ),
        trips=3,
        results=("y/r",),
    )
    nodes = [node("Cast", "w", "k", {"k": 5000}), holder("Loop", "m x", (body,))]
    # what came in, what the last trip left, what this one makes, and the map inside
    assert peak(network(nodes, {"m": 8, "x": 20}, "y")) == Peak(8 + 20 + 20 + 20 + 300, "y/a")


def test_a_body_in_a_body_reads_what_is_around_both() -> None:
    inner = Body("then", (node("Conv", "x q/a w", "p/b", {"p/b": 2}),), results=("p/b",))
    outer = (
        node("Conv", "x w", "q/a", {"q/a": 30}),
        node("If", "c", "p", {"p": 2}, bodies=(inner,)),
    )
    nodes = [
        node("Conv", "c w", "x", {"x": 10}),
        node("If", "c", "q", {"q": 2}, bodies=(Body("then", outer, results=("p",)),)),
    ]
    assert peak(network(nodes, {"c": 1}, "q")) == Peak(1 + 10 + 2 + 30, "q/a")


def surveyed(graph: str) -> Survey:
    network_ = model(graph)
    shapes.infer(network_)
    return survey(network_)


def test_the_residual_block_of_a_real_graph() -> None:
    weights = "{" + ",".join(["0"] * 144) + "}"
    facts = surveyed(f"""
    g (float[1, 4, 8, 8] x) => (float[1, 256] y) <float[4, 4, 3, 3] w = {weights}> {{
        a = Conv <pads = [1, 1, 1, 1]> (x, w)
        b = Relu(a)
        c = Conv <pads = [1, 1, 1, 1]> (b, w)
        d = Add(c, b)
        y = Flatten(d)
    }}
    """)
    map_bytes = 4 * 8 * 8 * 4
    # x and a; then b over a; then b and c; then d over one of them; y is d
    assert peak(facts) == Peak(2 * map_bytes, "a")
