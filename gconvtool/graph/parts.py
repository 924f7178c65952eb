"""What every rewrite needs of a graph: its opset, the numbers of constants, new constants."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias, TypeVar

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from gconvtool.graph.carriers import carried, is_constant
from gconvtool.graph.load import readable

Numbers: TypeAlias = NDArray[np.generic]
Documented = TypeVar("Documented", ir.Node, ir.Value)
FIRST_OPSET_THAT_BROADCASTS = 7


def opset(model: ir.Model) -> int:
    """The version of ONNX's own operators, under either name of their domain; 0 for none."""
    return model.opset_imports.get("") or model.opset_imports.get("ai.onnx", 0)


def array(value: ir.Value | None) -> Numbers | None:
    """The numbers of a constant, in the type in which it is read; None for anything computed."""
    if value is None:
        return None
    with readable(f"weight {value.name}"):
        return carried(value)


def constant(graph: ir.Graph, name: str, numbers: Numbers) -> ir.Value:
    """A new initializer of the graph, under this name or one like it that is free."""
    taken = ir.convenience.create_value_mapping(graph)
    while name in taken:
        name += "_"
    value = ir.val(name, const_value=ir.tensor(np.ascontiguousarray(numbers), name=name))
    graph.register_initializer(value)
    return value


def replace_node(node: ir.Node, nodes: Sequence[ir.Node], result: ir.Value) -> None:
    """Put nodes in the place of one of a single output; `result` is what is read instead of that.

    They inherit what is said of the old ones: names and shapes, documentation, and metadata.
    """
    graph, (made,) = node.graph, node.outputs
    assert graph is not None, "it is replaced where it is"
    for new in nodes:
        document(new, node)
    document(result, made)
    ir.convenience.replace_nodes_and_values(graph, node, [node], nodes, [made], [result])


def document(new: Documented, old: Documented) -> None:
    """Let what is said of a node or value for people and tools be said of another."""
    new.doc_string = old.doc_string
    new.metadata_props.update(old.metadata_props)
    new.meta.update(old.meta)


def drop_unread(graph: ir.Graph, value: ir.Value | None) -> None:
    """Remove a constant that nothing reads any more, with all that only it was made of."""
    if value is None or value.uses() or value.is_graph_output() or not is_constant(value):
        return
    maker = value.producer()
    if maker is not None and maker.graph is graph:
        made_of = maker.inputs
        graph.remove(maker, safe=True)
        for part in made_of:
            drop_unread(graph, part)
    elif value.name is not None and graph.initializers.get(value.name) is value:
        del graph.initializers[value.name]
