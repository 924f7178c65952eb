"""Convolutions: the shape of the weights already knows about groups, so no rule does.

    convolution             MACs = |output| · |weights| / N    each output meets C/G·K… weights
    transposed convolution  MACs = |input| · |weights| / C     each input meets N/G·K… weights

Positions in the padding count, as everywhere in the literature, and so do outputs that a transposed
convolution crops. A deformable one costs the same (Dai et al., 2017): sampling between positions is
elementwise. With channels last only the data is laid out otherwise, the weights stay N, C/G, K…
(NhwcConv is found with N, K…, C/G as well: |weights| / N is the same).
"""

from __future__ import annotations

from collections.abc import Iterator

from gconvtool.costs.node import output, shape, whole
from gconvtool.costs.term import Factor, Term, Terms
from gconvtool.facts import NodeFact, Shape, Skip

ONE_FILTER = "weights of one filter"


def convolution(node: NodeFact, weight: int = 1, channels_last: bool = False) -> Terms | Skip:
    """Every output is a sum over one filter's weights; `weight` is the input that holds them."""
    filters = shape(node, weight)
    for contradiction in _contradictions(node, shape(node, 0), filters, channels_last):
        return Skip(contradiction)
    return _outputs_times_filter(node, filters)


def quantised(node: NodeFact) -> Terms | Skip:
    """A QLinearConv; onnxruntime's own has an attribute for its layout."""
    return convolution(node, 3, channels_last=bool(whole(node, "channels_last")))


def of_any_layout(node: NodeFact) -> Terms | Skip:
    """A convolution whose data, or weights, may be laid out in several ways: it costs the same.

    Along time it is causal, and its first positions meet what was carried over.
    """
    return _outputs_times_filter(node, shape(node, 1))


def transposed(node: NodeFact) -> Terms | Skip:
    """Every input is spread over the weights of its channel."""
    data, weight = shape(node, 0), shape(node, 1)
    if data and weight and len(data) != len(weight):
        return Skip(f"its input has {len(data)} dimensions, its weight {len(weight)}")
    if data and weight and len(data) > 1 and None not in (data[1], weight[0]):
        channels, expected = data[1], weight[0]
        if channels != expected:
            return Skip(f"its input has {channels} channels, its weight is for {expected}")
    return (Term((Factor("input", data), Factor("weights of one channel", _tail(weight)))),)


def _outputs_times_filter(node: NodeFact, weight: Shape) -> Terms:
    return (Term((Factor("output", output(node)), Factor(ONE_FILTER, _tail(weight)))),)


def _contradictions(
    node: NodeFact, data: Shape, weight: Shape, channels_last: bool
) -> Iterator[str]:
    """Why no runtime could run the convolution: ONNX's checker lets such nodes pass."""
    groups = node.attributes.get("group", 1)
    if data is None or weight is None or not isinstance(groups, int):
        return
    if groups < 1:
        yield f"it has {groups} groups"
    elif len(data) != len(weight) or len(weight) < 3:
        yield f"its input has {len(data)} dimensions, its weight {len(weight)}"
    else:
        channels, filters, share = data[-1 if channels_last else 1], weight[0], weight[1]
        if isinstance(channels, int) and isinstance(share, int) and channels != groups * share:
            yield f"its input has {channels} channels, its weight is for {groups * share}"
        if isinstance(filters, int) and filters % groups:
            yield f"{groups} groups do not divide its {filters} filters"
        yield from _misfits(node, weight[2:])


def _misfits(node: NodeFact, kernel: tuple[object, ...]) -> Iterator[str]:
    """Attributes that are not for a kernel of this shape."""
    if node.attributes.get("kernel_shape", kernel) != kernel and None not in kernel:
        yield "its kernel_shape is not that of its weight"
    for name in ("strides", "dilations"):
        numbers = node.attributes.get(name, kernel)
        if isinstance(numbers, tuple) and len(numbers) != len(kernel):
            yield f"its {name} are not for {len(kernel)} dimensions"


def _tail(dims: Shape) -> Shape:
    return None if dims is None else dims[1:]
