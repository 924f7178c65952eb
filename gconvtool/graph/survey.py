"""From a graph to frozen facts: its nodes, those in bodies of control flow included, and its
convolutions. Nothing is computed here and nothing is changed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import onnx_ir as ir

from gconvtool.errors import InputError
from gconvtool.facts import (
    Attribute,
    Body,
    ConvSite,
    NodeFact,
    Parameter,
    Skip,
    Survey,
    Tensor,
)
from gconvtool.graph import control, sharing
from gconvtool.graph.constants import CARRIERS, bits_of, content, origin, shape_of, stored
from gconvtool.graph.load import one_line
from gconvtool.graph.sites import conv_site, head_site, is_convolution, refusals, renamed


def survey(model: ir.Model) -> Survey:
    """Facts in topological order; bodies are facts of the node that holds them."""
    graph = model.graph
    scribe = _Scribe()
    nodes = scribe.facts(graph, "")
    held = tuple(_initializers(model))
    inside = _shared_inside(graph, scribe.names)
    reasons = {**sharing.refusals(graph), **inside, **refusals(graph.all_nodes())}
    skipped = {scribe.names[node.outputs[0]]: why for node, why in reasons.items()}
    return Survey(
        nodes=nodes,
        sites=scribe.sites,
        skipped=skipped,
        heads=scribe.heads,
        inputs=tuple(_tensor(value) for value in graph.inputs if not value.is_initializer()),
        outputs=tuple(scribe.names.get(value, value.name or "") for value in graph.outputs),
        stored=tuple(p for value in held if (p := scribe.parameter(value)) is not None),
        unused=frozenset(scribe.names.get(value, "") for value in held if _idle(value)),
    )


def sketch(model: ir.Model) -> Survey:
    """Just names, operators, shapes and bodies: enough for a formula."""
    return Survey(_Scribe(brief=True).facts(model.graph, ""), {})


class _Scribe:
    """Writes facts down. Names of what is inside a body follow the name of what holds it."""

    def __init__(self, *, brief: bool = False) -> None:
        self.names: dict[ir.Value, str] = {}
        self.sites: dict[str, ConvSite] = {}
        self.heads: dict[str, ConvSite] = {}
        self._brief = brief
        self._nameless = 0
        self._contents: dict[int, Parameter | None] = {}

    def facts(self, graph: ir.Graph, prefix: str) -> tuple[NodeFact, ...]:
        """All nodes of a graph, in order."""
        for value in (*graph.inputs, *graph.initializers.values()):
            self.names[value] = prefix + (value.name or "")
        return tuple(self._checked_fact(node, prefix) for node in graph)

    def _checked_fact(self, node: ir.Node, prefix: str) -> NodeFact:
        """A model in memory may hold what no checker sees."""
        try:
            return self._fact(node, prefix)
        except (TypeError, ValueError) as error:
            name = self._name(node, prefix)
            raise InputError(f"{node.op_type} {name}: cannot be read: {one_line(error)}") from error

    def _fact(self, node: ir.Node, prefix: str) -> NodeFact:
        for value in node.outputs:
            self.names[value] = prefix + value.name if value.name else ""
        name = self._name(node, prefix)
        fact = NodeFact(
            name=name,
            op=node.op_type,
            domain=node.domain,
            inputs=tuple(map(shape_of, node.inputs)),
            outputs=tuple(map(shape_of, node.outputs)),
            attributes=dict(_attributes(node)),
            reads=tuple(map(self._read, node.inputs)),
            bodies=tuple(self._bodies(node, name)),
        )
        return fact if self._brief else self._full(fact, node)

    def _name(self, node: ir.Node, prefix: str) -> str:
        """Its first output's name; without any, its own, or its operator and a number."""
        first = next((self.names[value] for value in node.outputs if value.name), None)
        if first is not None:
            return first
        self._nameless += not node.name
        return prefix + (node.name or f"{node.op_type}_{self._nameless}")

    def _full(self, fact: NodeFact, node: ir.Node) -> NodeFact:
        self._note_site(node, fact.name)
        return replace(
            fact,
            parameters=tuple(self._parameters(node)),
            writes=tuple(self.names[value] for value in node.outputs),
            input_bits=tuple(map(_bits, node.inputs)),
            output_bits=tuple(map(_bits, node.outputs)),
        )

    def _note_site(self, node: ir.Node, name: str) -> None:
        site, head = conv_site(node), head_site(node)
        if site is not None:
            self.sites[name] = renamed(site, name)
        if head is not None:
            self.heads[name] = renamed(head, name)

    def _read(self, value: ir.Value | None) -> str:
        return "" if value is None else self.names.get(value, value.name or "")

    def _parameters(self, node: ir.Node) -> Iterator[Parameter | None]:
        """What an operator only hands on counts where it arrives."""
        for index, value in enumerate(node.inputs):
            handed_on = index == 0 and node.op_type in CARRIERS
            source = None if handed_on else origin(value)
            yield None if source is None else self.parameter(source)

    def parameter(self, source: ir.Value) -> Parameter | None:
        """What stands at several places, as in a function's calls, is one parameter."""
        key = id(content(source))
        if key not in self._contents:
            found = stored(source)
            self._contents[key] = found and replace(found, name=self._read(source))
        return self._contents[key]

    def _bodies(self, node: ir.Node, name: str) -> Iterator[Body]:
        for label, graph in control.graphs(node):
            nodes = self.facts(graph, f"{name}/{label}/")
            results = tuple(self._read(value) for value in graph.outputs)
            trips = control.trips(node, graph)
            if isinstance(trips, Skip):
                yield Body(label, nodes, None, trips.reason, results)
            else:
                yield Body(label, nodes, trips, None, results)


def _shared_inside(graph: ir.Graph, names: Mapping[ir.Value, str]) -> Mapping[ir.Node, Skip]:
    """Convolutions that share a weight, one of them in a body: what flows into several graphs is
    not seen together, and to rewrite some of them would store the old weight and the new one."""
    found: dict[ir.Node, Skip] = {}
    for node in graph.all_nodes():
        others = _sharing(node) if is_convolution(node) else ()
        if others and any(one.graph is not graph for one in (node, *others)):
            other = names[others[0].outputs[0]]
            found[node] = Skip(f"it shares its weight with {other}, and one of them is in a body")
    return found


def _sharing(node: ir.Node) -> tuple[ir.Node, ...]:
    """The other convolutions that read its weight."""
    weight = node.inputs[1]
    readers = () if weight is None else weight.uses()
    return tuple(one for one, _ in readers if one is not node and is_convolution(one))


def _initializers(model: ir.Model) -> Iterator[ir.Value]:
    for graph in model.graphs():
        yield from graph.initializers.values()


def _idle(value: ir.Value) -> bool:
    return not value.uses() and not value.is_graph_output()


def _tensor(value: ir.Value) -> Tensor:
    return Tensor(value.name or "", shape_of(value), _bits(value))


def _bits(value: ir.Value | None) -> int | None:
    """The size of one element; None too where a model in memory says that it has no type."""
    undefined = value is not None and value.dtype is ir.DataType.UNDEFINED
    return None if undefined else bits_of(value)


def _attributes(node: ir.Node) -> Iterator[tuple[str, Attribute]]:
    for name, attribute in node.attributes.items():
        if attribute.is_ref():
            continue
        if isinstance(attribute.value, (int, float, str)):
            yield name, attribute.value
        elif attribute.type in (ir.AttributeType.INTS, ir.AttributeType.FLOATS):
            yield name, tuple(attribute.value)
