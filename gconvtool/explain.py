"""How a layer's figures come about: the formulas, with its numbers filled in.

A convolution of C channels to N filters in G groups, with stride s, dilation d and p values of
padding at each end of an axis of i values, has on that axis

    floor((i + p + p' − d·(K − 1) − 1) / s) + 1     values, and transposed
    s·(i − 1) + o + d·(K − 1) + 1 − p − p'          with o for its output_padding

(Dumoulin and Visin, arXiv 1603.07285, sections 2 to 5), and N·C/G·ΠK weights.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import starmap

from gconvtool import recipes
from gconvtool.facts import ConvSite, Dim, NodeFact, Shape, describe_shape
from gconvtool.kinds import Kind, kind
from gconvtool.results import Explanation, Layer

AXES = {1: ("length",), 2: ("height", "width"), 3: ("depth", "height", "width")}


def explain(
    node: NodeFact, site: ConvSite | None, layer: Layer, words: tuple[str, ...]
) -> Explanation:
    """Lines of formulas. `words` say how the MACs come about."""
    lines = [
        *(_other(layer) if site is None else _convolution(node, site, layer)),
        *_bodies(node, layer),
        *_macs(node, layer, words),
        *_bytes(layer),
        *_groups(site),
    ]
    return Explanation(layer.name, tuple(lines))


def _other(layer: Layer) -> Iterator[str]:
    yield f"{layer.op}: {layer.kind}"
    yield _shapes(layer)
    if layer.params:
        yield f"parameters = {layer.params:,}"


def _convolution(node: NodeFact, site: ConvSite, layer: Layer) -> Iterator[str]:
    if site.op in recipes.HEADS:
        whole = describe_shape(site.kernel)
        yield f"{layer.op}: {layer.kind}, a fully connected layer over the whole {whole} map"
        yield f"C = {site.channels:,} channels, N = {site.filters:,} filters, K = {whole}"
    else:
        yield f"{layer.op}: {kind(site)}, since {_because(site)}"
        yield _sizes(site)
    yield _shapes(layer)
    if site.op not in recipes.HEADS:
        yield from _output_sizes(node, site)
    yield _parameters(site, layer)
    if layer.note:
        yield layer.note


def _because(site: ConvSite) -> str:
    """The rule by which the convolution is of its kind."""
    kernel = describe_shape(site.kernel)
    reasons: dict[Kind, str] = {
        "standard": f"G = 1 and its kernel is {kernel}",
        "pointwise": f"G = 1 and its kernel is {kernel}",
        "grouped": f"1 < G = {site.groups} < C = {site.channels}",
        "grouped-pointwise": f"1 < G = {site.groups} < C and its kernel is {kernel}",
        "depthwise": f"G = C = N = {site.channels}; {_not_global(site)}",
        "depthwise-multiplier": f"G = C = {site.channels} and N = {site.filters}",
        "gdc": f"G = C = N = {site.channels} and its kernel is the whole {kernel} map, unpadded",
    }
    return reasons[kind(site)]


def _not_global(site: ConvSite) -> str:
    kernel, sizes = site.kernel, None if site.input_shape is None else site.input_shape[2:]
    if site.transposed:
        return "not gdc, since it is transposed"
    if sizes == kernel:
        return "not gdc, since it pads its map"
    if sizes is None or not all(isinstance(size, int) for size in sizes):
        return "not gdc as far as is known, since the size of its map is open"
    return (
        f"not gdc, since its map is {describe_shape(sizes)} and its kernel {describe_shape(kernel)}"
    )


def _sizes(site: ConvSite) -> str:
    strides, dilations = describe_shape(site.strides), describe_shape(site.dilations)
    return (
        f"C = {site.channels} channels, N = {site.filters} filters, G = {site.groups}, "
        f"K = {describe_shape(site.kernel)}, stride {strides}, dilation {dilations}, "
        f"{_padding(site)}"
    )


def _padding(site: ConvSite) -> str:
    if site.pads is None:
        return "padding not known"
    begins, ends = _ends(site.pads)
    if not any(site.pads):
        return "no padding"
    if begins == ends:
        return f"padding {describe_shape(begins)}"
    return f"padding {describe_shape(begins)} before and {describe_shape(ends)} after"


def _ends(pads: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    return pads[: len(pads) // 2], pads[len(pads) // 2 :]


def _shapes(layer: Layer) -> str:
    return f"input {describe_shape(layer.input_shape)}, output {describe_shape(layer.output_shape)}"


def _output_sizes(node: NodeFact, site: ConvSite) -> Iterator[str]:
    """A line an axis; axes with the same numbers share one."""
    if site.pads is None or "output_shape" in node.attributes:
        yield "its output size is given, or its input size open; the padding follows from that"
        return
    names = AXES.get(len(site.kernel)) or tuple(f"axis {i}" for i in range(len(site.kernel)))
    lines: dict[str, list[str]] = {}
    for name, axis in zip(names, _axes(node, site), strict=False):
        lines.setdefault(axis.line(site.transposed), []).append(name)
    for line, axes in lines.items():
        yield f"output {' = '.join(axes)} = {line}"


@dataclass(frozen=True)
class _Axis:
    """One spatial axis: the sizes of input and output as far as they are known, and the rest."""

    size: Dim
    made: Dim
    kernel: int
    stride: int
    dilation: int
    begin: int
    end: int
    more: int

    def line(self, transposed: bool) -> str:
        """The formula of the output size, and what it gives."""
        i = "input" if self.size is None else self.size
        s, d, k, p, q = self.stride, self.dilation, self.kernel, self.begin, self.end
        if transposed:
            words = f"{s}·({i} − 1) + {self.more} + {d}·({k} − 1) + 1 − {p} − {q}"
        else:
            words = f"floor(({i} + {p} + {q} − {d}·({k} − 1) − 1) / {s}) + 1"
        value = self._value(transposed)
        return words if value is None else f"{words} = {value}"

    def _value(self, transposed: bool) -> Dim:
        """The same in numbers; what shape inference says where the input size is open."""
        if not isinstance(self.size, int):
            return self.made
        reach, pads = self.dilation * (self.kernel - 1) + 1, self.begin + self.end
        if transposed:
            return self.stride * (self.size - 1) + self.more + reach - pads
        return (self.size + pads - reach) // self.stride + 1


def _axes(node: NodeFact, site: ConvSite) -> Iterator[_Axis]:
    """None for attributes that contradict each other, as no checker of ONNX notices."""
    count = len(site.kernel)
    more = node.attributes.get("output_padding", (0,) * count)
    columns = (
        _spatial(site.input_shape, count),
        _spatial(site.output_shape, count),
        site.kernel,
        site.strides,
        site.dilations,
        *_ends(site.pads or ()),
        more if isinstance(more, tuple) else (),
    )
    if all(len(column) == count for column in columns) and 0 not in site.strides:
        yield from starmap(_Axis, zip(*columns, strict=True))


def _spatial(shape: Shape, count: int) -> tuple[Dim, ...]:
    return (None,) * count if shape is None else shape[2:]


def _parameters(site: ConvSite, layer: Layer) -> str:
    c, n, g, k = site.channels, site.filters, site.groups, describe_shape(site.kernel)
    total = recipes.weights(site) + n * site.bias
    formula, numbers = "N · C/G · K", f"{n} · {c}/{g} · {k}"
    if site.bias:
        formula, numbers = f"{formula} + N of the bias", f"{numbers} + {n}"
    counted = "" if total == layer.params else f"; {layer.params:,} of them count at this layer"
    return f"parameters = {formula} = {numbers} = {total:,}{counted}"


def _bodies(node: NodeFact, layer: Layer) -> Iterator[str]:
    """What is inside the node, and what the node is inside of."""
    for body in node.bodies:
        trips = body.reason if body.trips is None else _times(body.trips)
        yield f"{body.label}: {len(body.nodes)} node{'s' * (len(body.nodes) != 1)}, {trips}"
    if layer.parent is not None:
        times = "an unknown number of times" if layer.times is None else _times(layer.times)
        yield f"it counts {times} in {layer.parent}; these are the figures of one"


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count:,} times"


def _macs(node: NodeFact, layer: Layer, words: tuple[str, ...]) -> Iterator[str]:
    """A node with bodies costs what they do, as often as they run."""
    if node.bodies:
        known = "are not known" if layer.macs is None else f"= {layer.macs:,}, all of them inside"
        yield f"MACs {known}"
    else:
        yield from words
    if layer.macs is None and layer.macs_formula and layer.macs_formula not in "".join(words):
        yield f"MACs = {layer.macs_formula}"
    if layer.macs:
        yield f"FLOPs = 2 · MACs = {2 * layer.macs:,}"
    for what, count in (("bias adds", layer.bias_adds), ("elementwise", layer.elementwise_ops)):
        if count:
            yield f"no MACs: {count:,} {what}"


def _bytes(layer: Layer) -> Iterator[str]:
    weights, activations = layer.weight_bytes, layer.activation_bytes
    if weights is None or activations is None:
        yield "bytes moved: not known"
        return
    moved = weights + activations
    yield f"bytes moved = {weights:,} of weights + {activations:,} of activations = {moved:,}"
    if layer.macs and moved:
        yield (
            f"arithmetic intensity = FLOPs / bytes = {2 * layer.macs:,} / {moved:,} "
            f"= {2 * layer.macs / moved:.2f}"
        )


def _groups(site: ConvSite | None) -> Iterator[str]:
    """The choices for `--groups`; a fully connected layer has none."""
    if site is not None and site.op not in recipes.HEADS:
        counts = ", ".join(map(str, recipes.legal_groups(site)))
        yield f"legal group counts above 1: {counts or 'none'}"
