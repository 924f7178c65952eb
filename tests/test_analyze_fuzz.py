"""Damaged and absurd models: `analyze` answers or refuses in one clear line, soon, and no else."""

from __future__ import annotations

import random
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import corpus
import onnx
import pytest
from onnx import helper, parser

from gconvtool import Analysis, GconvError, analyze

resource = pytest.importorskip("resource", reason="limits that Unix sets")
SECONDS = 5
"""Of the processor, far more than a small model needs, so that only a hang takes longer."""
MEMORY, GROWTH = 8 * 2**30, 300 * 2**20
"""Bytes of address space that a process may take, and of memory that a small model may."""
CHUNK = 100
ODD_SIZES = (-(2**63), -(2**31), -2, -1, 0, 1, 2, 3, 7, 2**20, 2**31, 2**40, 2**62, 2**63 - 1)
OPERATORS = (
    "Conv ConvTranspose ConvInteger QLinearConv DeformConv FusedConv NhwcConv Gemm MatMul Einsum "
    "LSTM GRU RNN Attention MultiHeadAttention If Loop Scan MaxPool BatchNormalization Reshape "
    "Transpose Concat Slice Resize Pad Expand Tile Range Shape ConstantOfShape Constant Squeeze "
    "DequantizeLinear Split Softmax Blah"
).split()
ATTRIBUTES = (
    "strides dilations pads group kernel_shape auto_pad hidden_size axis perm num_heads equation "
    "direction layout output_shape transA to value"
).split()
SEEDS: Mapping[str, tuple[int, ...]] = {
    "conv in two dimensions with bias": (4,),
    "grouped": (4,),
    "conv with pads, strides and dilations": (4,),
    "transposed with output_shape": (4,),
    "QLinearConv in 2 dimensions": (4,),
    "conv between QuantizeLinear and DequantizeLinear": (4,),
    "FusedConv, then pooling, then Gemm": (2,),
    "deformable": (4,),
    "Gemm transA=1 transB=1": (2,),
    "MatMul 2 1 3 4 by 6 4 5": (4,),
    "Einsum ...ij,jk->...ik": (4,),
    "LSTM bidirectional": (4,),
    "Attention of three dimensions with shared keys": (3,),
    "contributed Attention with its projections": (3,),
    "reshaping and resizing": (4,),
    "If in a Loop": (2,),
    "Scan over a sequence": (
        2,
        3,
    ),
    "functions in functions": (4,),
    "weights behind several of them": (4,),
    "an unknown operator whose shapes are known": (4,),
    "open size that makes it global": (4,),
}
"""Models to damage, and how many dimensions their outputs have: a legal file says so."""


def _legal(case: corpus.Case) -> onnx.ModelProto:
    model = case.model()
    for output, rank in zip(model.graph.output, SEEDS[case.name], strict=True):
        for _ in range(rank):
            output.type.tensor_type.shape.dim.add()
    return model


MODELS = [_legal(case) for case in corpus.CASES if case.name in SEEDS]


class Late(BaseException):
    """Time is up; no `except Exception` holds that up."""


@contextmanager
def guarded() -> Iterator[list[str]]:
    """A hang, or a hunger for memory, is told in the list, and does not hold up the others.

    It is told even where what stops it is caught and the answer goes on.
    """
    told: list[str] = []

    def late(*_: object) -> None:
        told.append(f"no answer within {SECONDS} s")
        raise Late

    before, limits = signal.signal(signal.SIGPROF, late), resource.getrlimit(resource.RLIMIT_AS)
    most, held = limits[1], _most_held()
    room = MEMORY if most == resource.RLIM_INFINITY else min(MEMORY, most)
    resource.setrlimit(resource.RLIMIT_AS, (room, most))
    signal.setitimer(signal.ITIMER_PROF, SECONDS, SECONDS)
    try:
        yield told
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
        resource.setrlimit(resource.RLIMIT_AS, limits)
        if _most_held() - held > GROWTH:
            told.append(f"{(_most_held() - held) >> 20:,} MiB for a small model")


def _most_held() -> int:
    """Bytes of memory that this process has held at once; Linux counts them in KiB."""
    unit = 1 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def trouble(source: Path) -> str | None:
    """What is wrong with how a model is answered; None where nothing is."""
    told: list[str] = []
    try:
        with guarded() as told:
            result = analyze(source)
    except GconvError as error:
        lines = str(error).splitlines()
        clear = len(lines) == 1 and lines[0].isprintable()
        return " ".join(told) or (None if clear else f"unclear: {error!r}")
    except Late:
        return told[0]
    except Exception as error:
        return f"{type(error).__name__}: {str(error).splitlines()[:1]} {' '.join(told)}"
    return " ".join(told) or _contradiction(result)


def _contradiction(result: Analysis) -> str | None:
    if result.totals.exact != (not result.unknown):
        return "unknown nodes and exact totals"
    if result.totals.macs < 0 or result.totals.params < 0:
        return "negative totals"
    return None


def troubles(content: bytes, path: Path) -> Iterator[str]:
    """What goes wrong with the model as a file."""
    path.write_bytes(content)
    if found := trouble(path):
        yield f"as a file: {found}"


Change = Callable[[onnx.ModelProto, random.Random], object]


def _graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from _graphs(attribute.g)


def _nodes(model: onnx.ModelProto) -> list[onnx.NodeProto]:
    inner = [node for graph in _graphs(model.graph) for node in graph.node]
    return [*inner, *(node for function in model.functions for node in function.node)]


def _duplicate(model: onnx.ModelProto, rng: random.Random) -> None:
    graph = rng.choice(list(_graphs(model.graph)))
    if graph.node:
        graph.node.add().CopyFrom(rng.choice(graph.node))


def _delete(model: onnx.ModelProto, rng: random.Random) -> None:
    graph = rng.choice(list(_graphs(model.graph)))
    parts = rng.choice([graph.node, graph.initializer, graph.input, graph.output, model.functions])
    if parts:
        del parts[rng.randrange(len(parts))]


def _shuffle(model: onnx.ModelProto, rng: random.Random) -> None:
    nodes = list(model.graph.node)
    rng.shuffle(nodes)
    model.graph.ClearField("node")
    model.graph.node.extend(nodes)


def _another_operator(model: onnx.ModelProto, rng: random.Random) -> None:
    node = rng.choice(_nodes(model))
    node.op_type = rng.choice(OPERATORS)
    if rng.random() < 0.3:
        node.domain = rng.choice(["", "com.microsoft", "local", "com.acme", "ai.onnx.ml"])


def _another_name(model: onnx.ModelProto, rng: random.Random) -> None:
    """Inputs that are absent, elsewhere, or a circle; outputs that are there twice."""
    nodes = _nodes(model)
    names = [name for node in nodes for name in (*node.input, *node.output)]
    node = rng.choice(nodes)
    field = rng.choice([node.input, node.input, node.output])
    if field:
        field[rng.randrange(len(field))] = rng.choice([*names, "", "nowhere"])


def _other_inputs(model: onnx.ModelProto, rng: random.Random) -> None:
    node = rng.choice(_nodes(model))
    if node.input and rng.random() < 0.7:
        del node.input[rng.randrange(len(node.input)) :]
    else:
        node.input.extend([""] * rng.randrange(1, 4))


def _other_numbers(model: onnx.ModelProto, rng: random.Random) -> None:
    """Strides, groups, pads, axes, sizes that nobody would choose."""
    held = [a for node in _nodes(model) for a in node.attribute]
    if not held:
        return
    attribute = rng.choice(held)
    if attribute.ints:
        count = rng.choice([len(attribute.ints), rng.randrange(6)])
        attribute.ints[:] = [rng.choice(ODD_SIZES) for _ in range(count)]
    elif attribute.HasField("s"):
        attribute.s = rng.choice([b"", b"SAME_UPPER", b"\xff", b"...->", b"ij,jk->ikk", b"a,,b"])
    else:
        attribute.i = rng.choice(ODD_SIZES)


def _new_numbers(model: onnx.ModelProto, rng: random.Random) -> None:
    """Attributes that were not there, and of types that they do not have."""
    name = rng.choice(ATTRIBUTES)
    value = rng.choice([rng.choice(ODD_SIZES), [rng.choice(ODD_SIZES)] * 2, "SAME_LOWER", 0.5])
    rng.choice(_nodes(model)).attribute.append(helper.make_attribute(name, value))


def _other_shape(model: onnx.ModelProto, rng: random.Random) -> None:
    graph = rng.choice(list(_graphs(model.graph)))
    values = [*graph.input, *graph.output, *graph.value_info]
    if not values:
        return
    shape = rng.choice(values).type.tensor_type.shape
    for dim in shape.dim:
        if rng.random() < 0.4:
            dim.dim_value = rng.choice(ODD_SIZES)
        elif rng.random() < 0.2:
            dim.dim_param = rng.choice(["N", "H", "", "a+b", "floor(H/0)", "lambda", "x" * 500])
    if rng.random() < 0.2:
        shape.dim.add().dim_value = rng.choice(ODD_SIZES)


def _other_weight(model: onnx.ModelProto, rng: random.Random) -> None:
    """Weights of other shapes, types and contents than they say."""
    if not model.graph.initializer:
        return
    tensor = rng.choice(model.graph.initializer)
    draw = rng.random()
    if draw < 0.5 and tensor.dims:
        tensor.dims[rng.randrange(len(tensor.dims))] = rng.choice(ODD_SIZES)
    elif draw < 0.7:
        tensor.data_type = rng.randrange(26)
    elif draw < 0.9:
        tensor.raw_data = rng.randbytes(rng.choice([0, 4, 8, 16, 100]))
    else:
        tensor.data_location = onnx.TensorProto.EXTERNAL
        entry = tensor.external_data.add()
        entry.key, entry.value = "location", rng.choice(["gone.bin", "../up", "/etc/passwd", ""])


def _other_versions(model: onnx.ModelProto, rng: random.Random) -> None:
    rng.choice(model.opset_import).version = rng.choice([-1, 0, 1, 7, 11, 26, 999])
    if rng.random() < 0.3:
        model.ir_version = rng.choice([0, 1, 3, 10, 999])


CHANGES: tuple[Change, ...] = (
    _duplicate, _delete, _shuffle, _another_operator, _another_name, _other_inputs,
    _other_numbers, _other_numbers, _new_numbers, _other_shape, _other_weight, _other_versions,
)  # fmt: skip


def _damaged(content: bytes, rng: random.Random) -> bytes:
    """Flipped bytes, a cut, or a piece too many."""
    at = rng.randrange(len(content))
    draw = rng.random()
    if draw < 0.3:
        return content[:at]
    if draw < 0.5:
        return content[:at] + content[rng.randrange(len(content)) :]
    flipped = bytearray(content)
    for _ in range(rng.choice([1, 1, 2, 5, 20])):
        flipped[rng.randrange(len(flipped))] ^= 1 << rng.randrange(8)
    return bytes(flipped)


def fuzzed(number: int) -> bytes:
    """The same damage for the same number."""
    rng = random.Random(number)
    model = onnx.ModelProto()
    model.CopyFrom(rng.choice(MODELS))
    if number % 3 == 0:
        return _damaged(model.SerializeToString(), rng)
    for _ in range(rng.choice([1, 1, 2, 4])):
        try:
            rng.choice(CHANGES)(model, rng)
        except (ValueError, TypeError, IndexError):
            continue  # protobuf does not hold that
    return model.SerializeToString()


@pytest.mark.parametrize(
    "chunk", [*range(3), *(pytest.param(n, marks=pytest.mark.slow) for n in range(3, 24))]
)
def test_damaged_models_are_answered_or_refused(chunk: int, tmp_path: Path) -> None:
    found = [
        f"{number} {what}"
        for number in range(chunk * CHUNK, (chunk + 1) * CHUNK)
        for what in troubles(fuzzed(number), tmp_path / "fuzzed.onnx")
    ]
    assert not found, f"{len(found)} of them:\n" + "\n".join(found[:20])


def test_what_is_damaged_was_legal(tmp_path: Path) -> None:
    for model in MODELS:
        path = tmp_path / "whole.onnx"
        path.write_bytes(model.SerializeToString())
        analyze(path)


def test_damage_is_the_same_every_time() -> None:
    assert [fuzzed(n) for n in range(30)] == [fuzzed(n) for n in range(30)]


def _text(graph: str, rest: str = "", opset: int = 17) -> bytes:
    header = f'<ir_version: 10, opset_import: ["": {opset}, "local": 1, "com.microsoft": 1]>'
    return parser.parse_model(f"{header}\ng {graph}\n{rest}").SerializeToString()


def _nested(depth: int) -> bytes:
    """If in If in If."""
    inner = "(float[4] x0) { x0 = Relu (x) }"
    for level in range(1, depth):
        inner = (
            f"(float[4] x{level}) {{ x{level} = If (c) <then_branch = t{level} () => {inner},"
            f" else_branch = e{level} () => (float[4] z{level}) {{ z{level} = Abs (x) }}> }}"
        )
    return _text(
        f"(float[4] x, bool c) => (float[4] y) {{ y = If (c) <then_branch = t () => {inner},"
        f" else_branch = e () => (float[4] z) {{ z = Abs (x) }}> }}"
    )


FUNCTION = '<domain: "local", opset_import: ["": 17, "local": 1]>'
CALL = "(float[4] x) => (float[4] y) { y = local.f0 (x) }"


def _doubling(depth: int) -> str:
    """Functions of which each calls the next twice."""
    calls = (
        f"{FUNCTION} f{n} (x) => (y) {{ h = local.f{n + 1} (x)  y = local.f{n + 1} (h) }}"
        for n in range(depth)
    )
    return "\n".join([*calls, f"{FUNCTION} f{depth} (x) => (y) {{ y = Relu (x) }}"])


def _loop(trips: int) -> bytes:
    return _text(
        f"(float[4] x) => (float[?] y) <int64 n = {{{trips}}}, bool go = {{1}}> {{"
        "y = Loop (n, go, x) <body = b (int64 i, bool on, float[4] a) => (bool still, float[4] z)"
        "{ still = Identity (on)  z = Relu (a) }> }"
    )


def _conv(attributes: str, size: str = "9") -> bytes:
    return _text(
        f"(float[1,3,{size},{size}] x, float[4,3,3,3] w) => (float[?,?,?,?] y)"
        f"{{ y = Conv <{attributes}> (x, w) }}"
    )


HUGE = 2**62
ABSURD: dict[str, Callable[[], bytes]] = {
    "a function that calls itself": lambda: _text(
        CALL, f"{FUNCTION} f0 (x) => (y) {{ y = local.f0 (x) }}"
    ),
    "functions in a circle": lambda: _text(
        CALL,
        f"{FUNCTION} f0 (x) => (y) {{ y = local.f1 (x) }}\n"
        f"{FUNCTION} f1 (x) => (y) {{ y = local.f0 (x) }}",
    ),
    "a thousand million calls": lambda: _text(CALL, _doubling(30)),
    "a thousand calls": lambda: _text(CALL, _doubling(10)),
    "a call of nothing": lambda: _text(CALL),
    "If thirty deep": lambda: _nested(30),
    "a node that reads itself": lambda: _text("(float[4] x) => (float[4] y) { y = Add (x, y) }"),
    "nodes in a circle": lambda: _text(
        "(float[4] x) => (float[4] y) { y = Add (x, h)  h = Relu (y) }"
    ),
    "an output twice": lambda: _text("(float[4] x) => (float[4] y) { y = Relu (x)  y = Relu (x) }"),
    "an input that is made": lambda: _text("(float[4] x) => (float[4] x) { x = Relu (x) }"),
    "a convolution of nothing": lambda: _text("(float[4] x) => (float[4] y) { y = Conv () }"),
    "an LSTM of nothing": lambda: _text("(float[4] x) => (float[4] y) { y = LSTM () }"),
    "an Einsum of nothing": lambda: _text("(float[4] x) => (float[4] y) { y = Einsum () }"),
    "an Einsum without an equation": lambda: _text(
        "(float[4] x) => (float[4] y) { y = Einsum (x, x) }"
    ),
    "an If without branches": lambda: _text("(bool x) => (float[4] y) { y = If (x) }"),
    "a Loop without a body": lambda: _text("(int64 x) => (float[4] y) { y = Loop (x) }"),
    "a map beyond all memory": lambda: _conv("group=1", str(HUGE)),
    "a weight beyond all memory": lambda: _text(
        f"(float[1,3,9,9] x) => (float[?,?,?,?] y) <int64[4] n = {{{HUGE}, 3, 3, 3}}>"
        "{ w = ConstantOfShape (n)  y = Conv (x, w) }"
    ),
    "a range beyond all memory": lambda: _text(
        "(float[4] x) => (float[?] y) <int64 a = {0}, int64 b = {1000000000000}, int64 c = {1}>"
        "{ n = Range (a, b, c)  m = ReduceSum <keepdims=0> (n)  y = Expand (x, n) }"
    ),
    "a constant expanded beyond all memory": lambda: _text(
        f"(float[4] x) => (float[?] y) <int64 a = {{1}}, int64[1] n = {{{2**40}}}>"
        "{ b = Expand (a, n)  y = Reshape (x, b) }"
    ),
    "a constant tiled beyond all memory": lambda: _text(
        f"(float[4] x) => (float[?] y) <int64[2] a = {{1, 2}}, int64[1] n = {{{2**40}}}>"
        "{ b = Tile (a, n)  y = Reshape (x, b) }"
    ),
    "a padding beyond all memory": lambda: _conv(f"pads=[{HUGE},{HUGE},{HUGE},{HUGE}]"),
    "more trips than anyone waits for": lambda: _loop(HUGE),
    "a negative number of trips": lambda: _loop(-5),
    "no trips": lambda: _loop(0),
    "no strides": lambda: _conv("strides=[0,0]"),
    "strides backwards": lambda: _conv("strides=[-1,-1]"),
    "strides of another dimension": lambda: _conv("strides=[2]"),
    "an open size divided by nothing": lambda: _conv('strides=[0,1], auto_pad="SAME_UPPER"', "H"),
    "groups of nothing": lambda: _conv("group=0"),
    "less than no groups": lambda: _conv("group=-3"),
    "an auto_pad of no kind": lambda: _conv('auto_pad="A"'),
    "ranks that do not fit": lambda: _text(
        "(float x, float[4] w) => (float[?] y) { h = Conv (x, w)  y = MatMul (h, x) }"
    ),
    "an operator set to come": lambda: _text(
        "(float[4] x) => (float[4] y) { y = Relu (x) }", opset=999
    ),
}
"""Models that are no use to anyone, some of them legal."""


@pytest.mark.parametrize("name", ABSURD)
def test_absurd_models_are_answered_or_refused(name: str, tmp_path: Path) -> None:
    assert list(troubles(ABSURD[name](), tmp_path / "absurd.onnx")) == []
