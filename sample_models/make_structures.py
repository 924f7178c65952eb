"""Write five published networks as structures: every layer in place, the weights constant.

    pip install numpy onnx
    python sample_models/make_structures.py

What a convolution costs follows from its shapes alone, so a weight here is a ConstantOfShape
node rather than numbers, and a network takes kilobytes. A weight is 1 / (C/G * K * K), which
makes a convolution an average and keeps feature maps finite at any depth. As in training,
BatchNormalization is a node of its own, and a convolution that it follows has no bias.

    alexnet_2groups        Krizhevsky, Sutskever and Hinton, NIPS 2012
    mobilenet_v1           Howard et al., arXiv:1704.04861, Table 1
    shufflenet_v1_3groups  Zhang et al., arXiv:1707.01083, Table 1
    xception               Chollet, arXiv:1610.02357, Figure 5
    mobilefacenet          Chen et al., arXiv:1804.07573, Table 1
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

HERE = Path(__file__).parent
OPSET, IR_VERSION = 17, 8


@dataclass(frozen=True)
class FeatureMap:
    """The name of a tensor N x channels x side x side."""

    name: str
    channels: int
    side: int


class Network:
    """Collects one graph; a layer takes feature maps and returns the one it makes."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.shapes: dict[str, onnx.TensorProto] = {}

    def node(self, op: str, inputs: list[str], output: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(op, inputs, [output], output, **attributes))
        return output

    def shape(self, dims: tuple[int, ...]) -> str:
        """An int64 vector, stored once however many nodes read it."""
        name = "x".join(map(str, dims))
        self.shapes[name] = numpy_helper.from_array(np.array(dims, np.int64), name)
        return name

    def constant(self, name: str, dims: tuple[int, ...], value: float) -> str:
        filled = numpy_helper.from_array(np.array([value], np.float32))
        # ConstantOfShape fills with 0 where no value is given
        attributes = {"value": filled} if value else {}
        return self.node("ConstantOfShape", [self.shape(dims)], name, **attributes)

    def conv(
        self,
        x: FeatureMap,
        name: str,
        filters: int,
        kernel: int,
        *,
        stride: int = 1,
        groups: int = 1,
        padded: bool = True,
        bias: bool = False,
    ) -> FeatureMap:
        depth, pad = x.channels // groups, kernel // 2 if padded else 0
        dims = (filters, depth, kernel, kernel)
        inputs = [x.name, self.constant(f"{name}.weight", dims, 1 / (depth * kernel**2))]
        if bias:
            inputs.append(self.constant(f"{name}.bias", (filters,), 0))
        self.node(
            "Conv",
            inputs,
            name,
            kernel_shape=[kernel, kernel],
            # ONNX's defaults, which make_node leaves out when they are None
            strides=[stride, stride] if stride > 1 else None,
            pads=[pad] * 4 if pad else None,
            group=groups if groups > 1 else None,
        )
        return FeatureMap(name, filters, (x.side + 2 * pad - kernel) // stride + 1)

    def depthwise(
        self, x: FeatureMap, name: str, kernel: int = 3, *, stride: int = 1, padded: bool = True
    ) -> FeatureMap:
        groups = filters = x.channels
        return self.conv(x, name, filters, kernel, stride=stride, groups=groups, padded=padded)

    def pointwise(
        self, x: FeatureMap, name: str, filters: int, *, stride: int = 1, groups: int = 1
    ) -> FeatureMap:
        return self.conv(x, name, filters, 1, stride=stride, groups=groups)

    def batch_norm(self, x: FeatureMap) -> FeatureMap:
        name, dims = f"{x.name}.bn", (x.channels,)
        values = {"scale": 1, "bias": 0, "mean": 0, "var": 1}
        parameters = [
            self.constant(f"{name}.{field}", dims, value) for field, value in values.items()
        ]
        self.node("BatchNormalization", [x.name, *parameters], name)
        return FeatureMap(name, x.channels, x.side)

    def relu(self, x: FeatureMap) -> FeatureMap:
        name = f"{x.name.removesuffix('.bn')}.relu"
        return FeatureMap(self.node("Relu", [x.name], name), x.channels, x.side)

    def prelu(self, x: FeatureMap) -> FeatureMap:
        name = f"{x.name.removesuffix('.bn')}.prelu"
        slope = self.constant(f"{name}.slope", (x.channels, 1, 1), 0.25)
        return FeatureMap(self.node("PRelu", [x.name, slope], name), x.channels, x.side)

    def bn_relu(self, x: FeatureMap) -> FeatureMap:
        return self.relu(self.batch_norm(x))

    def bn_prelu(self, x: FeatureMap) -> FeatureMap:
        return self.prelu(self.batch_norm(x))

    def response_norm(self, x: FeatureMap) -> FeatureMap:
        """AlexNet's; ONNX divides alpha by the size, the paper (1e-4) does not."""
        name = f"{x.name}.lrn"
        self.node("LRN", [x.name], name, size=5, alpha=5e-4, beta=0.75, bias=2.0)
        return FeatureMap(name, x.channels, x.side)

    def pool(
        self, x: FeatureMap, name: str, op: str = "MaxPool", *, padded: bool = True
    ) -> FeatureMap:
        """3 x 3 with stride 2, the only window that these networks have."""
        pad = 1 if padded else 0
        self.node(op, [x.name], name, kernel_shape=[3, 3], strides=[2, 2], pads=[pad] * 4)
        return FeatureMap(name, x.channels, (x.side + 2 * pad - 3) // 2 + 1)

    def global_pool(self, x: FeatureMap) -> FeatureMap:
        return FeatureMap(self.node("GlobalAveragePool", [x.name], "pool"), x.channels, 1)

    def add(self, x: FeatureMap, y: FeatureMap, name: str) -> FeatureMap:
        return FeatureMap(self.node("Add", [x.name, y.name], name), x.channels, x.side)

    def concat(self, x: FeatureMap, y: FeatureMap, name: str) -> FeatureMap:
        self.node("Concat", [x.name, y.name], name, axis=1)
        return FeatureMap(name, x.channels + y.channels, x.side)

    def shuffle(self, x: FeatureMap, name: str, groups: int) -> FeatureMap:
        """Deals the channels of each group out to all groups (ShuffleNet, section 3.1)."""
        # a 0 in a Reshape's shape keeps the dimension, here the batch
        by_group = self.shape((0, groups, x.channels // groups, x.side, x.side))
        flat = self.shape((0, x.channels, x.side, x.side))
        y = self.node("Reshape", [x.name, by_group], f"{name}.split")
        y = self.node("Transpose", [y], f"{name}.dealt", perm=[0, 2, 1, 3, 4])
        return FeatureMap(self.node("Reshape", [y, flat], f"{name}.shuffled"), x.channels, x.side)

    def flatten(self, x: FeatureMap, name: str = "features") -> FeatureMap:
        return FeatureMap(self.node("Flatten", [x.name], name), x.channels * x.side**2, 1)

    def linear(self, x: FeatureMap, name: str, outputs: int) -> FeatureMap:
        """A fully connected layer with bias."""
        weight = self.constant(f"{name}.weight", (outputs, x.channels), 1 / x.channels)
        bias = self.constant(f"{name}.bias", (outputs,), 0)
        return FeatureMap(self.node("Gemm", [x.name, weight, bias], name, transB=1), outputs, 1)

    def model(self, name: str, image: FeatureMap, output: FeatureMap) -> onnx.ModelProto:
        inputs: list[str | int] = ["N", image.channels, image.side, image.side]
        outputs: list[str | int] = ["N", output.channels]
        graph = helper.make_graph(
            self.nodes,
            name,
            [helper.make_tensor_value_info(image.name, TensorProto.FLOAT, inputs)],
            [helper.make_tensor_value_info(output.name, TensorProto.FLOAT, outputs)],
            list(self.shapes.values()),
        )
        opset = helper.make_opsetid("", OPSET)
        model = helper.make_model(
            graph, opset_imports=[opset], ir_version=IR_VERSION, producer_name="gconvtool"
        )
        onnx.checker.check_model(model, full_check=True)
        return model


def alexnet_2groups(net: Network, x: FeatureMap) -> FeatureMap:
    """Two groups are the paper's two GPUs, which meet in conv3 and the linear layers.

    The paper says 224 pixels, and its 55 x 55 first feature map takes 227.
    """
    x = net.relu(net.conv(x, "conv1", 96, 11, stride=4, padded=False, bias=True))
    x = net.pool(net.response_norm(x), "pool1", padded=False)
    x = net.relu(net.conv(x, "conv2", 256, 5, groups=2, bias=True))
    x = net.pool(net.response_norm(x), "pool2", padded=False)
    x = net.relu(net.conv(x, "conv3", 384, 3, bias=True))
    x = net.relu(net.conv(x, "conv4", 384, 3, groups=2, bias=True))
    x = net.relu(net.conv(x, "conv5", 256, 3, groups=2, bias=True))
    x = net.flatten(net.pool(x, "pool5", padded=False))
    x = net.relu(net.linear(x, "fc6", 4096))
    x = net.relu(net.linear(x, "fc7", 4096))
    return net.linear(x, "logits", 1000)


def mobilenet_v1(net: Network, x: FeatureMap) -> FeatureMap:
    """Depthwise separable convolutions in a row.

    Table 1 prints stride 2 at the last depthwise layer too, but 7 x 7 enters it and leaves it.
    """
    blocks = (  # filters, stride
        (64, 1),
        (128, 2),
        (128, 1),
        (256, 2),
        (256, 1),
        (512, 2),
        *[(512, 1)] * 5,
        (1024, 2),
        (1024, 1),
    )
    x = net.bn_relu(net.conv(x, "conv1", 32, 3, stride=2))
    for index, (filters, stride) in enumerate(blocks, 1):
        x = net.bn_relu(net.depthwise(x, f"block{index}.dw", stride=stride))
        x = net.bn_relu(net.pointwise(x, f"block{index}.pw", filters))
    return net.linear(net.flatten(net.global_pool(x)), "logits", 1000)


def shuffle_unit(
    net: Network, x: FeatureMap, name: str, outputs: int, *, stride: int, groups: int
) -> FeatureMap:
    """ShuffleNet's Figure 2: (b) adds its input, (c) halves the side and concatenates it."""
    made = outputs if stride == 1 else outputs - x.channels
    first_groups = groups if x.channels > 24 else 1  # the paper: too few channels to divide
    y = net.bn_relu(net.pointwise(x, f"{name}.pw1", outputs // 4, groups=first_groups))
    y = net.shuffle(y, name, groups)
    y = net.batch_norm(net.depthwise(y, f"{name}.dw", stride=stride))
    y = net.batch_norm(net.pointwise(y, f"{name}.pw2", made, groups=groups))
    if stride == 1:
        return net.relu(net.add(x, y, f"{name}.add"))
    return net.relu(net.concat(net.pool(x, f"{name}.pool", "AveragePool"), y, f"{name}.concat"))


def shufflenet_v1_3groups(net: Network, x: FeatureMap) -> FeatureMap:
    """Width 1. Pointwise convolutions in three groups, but for the first, which reads 24 channels.

    Stages 2, 3 and 4 of the paper are units 1-4, 5-12 and 13-16.
    """
    units = (  # channels, stride
        (240, 2),
        *[(240, 1)] * 3,
        (480, 2),
        *[(480, 1)] * 7,
        (960, 2),
        *[(960, 1)] * 3,
    )
    x = net.pool(net.bn_relu(net.conv(x, "conv1", 24, 3, stride=2)), "pool1")
    for index, (outputs, stride) in enumerate(units, 1):
        x = shuffle_unit(net, x, f"unit{index}", outputs, stride=stride, groups=3)
    return net.linear(net.flatten(net.global_pool(x)), "logits", 1000)


def separable(net: Network, x: FeatureMap, block: str, layer: int, filters: int) -> FeatureMap:
    """Xception's: nothing between the depthwise and the pointwise half."""
    x = net.depthwise(x, f"{block}.dw{layer}")
    return net.batch_norm(net.pointwise(x, f"{block}.pw{layer}", filters))


def xception(net: Network, x: FeatureMap) -> FeatureMap:
    """Entry flow, eight times the middle flow, exit flow; blocks start with a ReLU but the first.

    Its first two convolutions are not padded: 299, 149, 147.
    """
    blocks = (  # filters of the separable convolutions, whether the block halves the side
        ((128, 128), True),
        ((256, 256), True),
        ((728, 728), True),
        *[((728, 728, 728), False)] * 8,
        ((728, 1024), True),
    )
    x = net.bn_relu(net.conv(x, "conv1", 32, 3, stride=2, padded=False))
    x = net.bn_relu(net.conv(x, "conv2", 64, 3, padded=False))
    for index, (filters, halves) in enumerate(blocks, 1):
        y, shortcut = x, x
        for layer, outputs in enumerate(filters, 1):
            y = y if (index, layer) == (1, 1) else net.relu(y)
            y = separable(net, y, f"block{index}", layer, outputs)
        if halves:
            y = net.pool(y, f"block{index}.pool")
            shortcut = net.pointwise(x, f"block{index}.shortcut", y.channels, stride=2)
            shortcut = net.batch_norm(shortcut)
        x = net.add(y, shortcut, f"block{index}.add")
    x = net.relu(separable(net, x, "exit", 1, 1536))
    x = net.relu(separable(net, x, "exit", 2, 2048))
    return net.linear(net.flatten(net.global_pool(x)), "logits", 1000)


def bottleneck(
    net: Network, x: FeatureMap, name: str, filters: int, *, expansion: int, stride: int
) -> FeatureMap:
    """MobileNetV2's inverted residual, with PReLU: wide between, no activation at its end."""
    y = net.bn_prelu(net.pointwise(x, f"{name}.pw1", expansion * x.channels))
    y = net.bn_prelu(net.depthwise(y, f"{name}.dw", stride=stride))
    y = net.batch_norm(net.pointwise(y, f"{name}.pw2", filters))
    return net.add(x, y, f"{name}.add") if (x.channels, x.side) == (filters, y.side) else y


def mobilefacenet(net: Network, x: FeatureMap) -> FeatureMap:
    """Ends in GDC, a depthwise kernel as large as its 7 x 7 feature map, in a mean's place.

    GDC and the 1 x 1 convolution after it are linear: BatchNormalization, no PReLU.
    """
    blocks = (  # expansion, filters, stride
        (2, 64, 2),
        *[(2, 64, 1)] * 4,
        (4, 128, 2),
        *[(2, 128, 1)] * 6,
        (4, 128, 2),
        *[(2, 128, 1)] * 2,
    )
    x = net.bn_prelu(net.conv(x, "conv1", 64, 3, stride=2))
    x = net.bn_prelu(net.depthwise(x, "conv2.dw"))
    for index, (expansion, filters, stride) in enumerate(blocks, 1):
        x = bottleneck(net, x, f"block{index}", filters, expansion=expansion, stride=stride)
    x = net.bn_prelu(net.pointwise(x, "conv3", 512))
    x = net.batch_norm(net.depthwise(x, "gdc", kernel=x.side, padded=False))
    x = net.batch_norm(net.pointwise(x, "linear", 128))
    return net.flatten(x, "embedding")


NETWORKS = (  # and the side of the image that each paper takes
    (alexnet_2groups, 227),
    (mobilenet_v1, 224),
    (shufflenet_v1_3groups, 224),
    (xception, 299),
    (mobilefacenet, 112),
)


def main() -> None:
    for architecture, side in NETWORKS:
        name, net, image = architecture.__name__, Network(), FeatureMap("image", 3, side)
        model = net.model(name, image, architecture(net, image))
        path = HERE / f"{name}.onnx"
        path.write_bytes(model.SerializeToString(deterministic=True))
        print(f"{path.name}: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
