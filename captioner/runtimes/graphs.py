"""Changes to ONNX graphs: weights named in place of held, and matrices multiplied as 8-bit integers."""

from collections.abc import Collection, Iterator

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from captioner.quantization import STEPS
from captioner.runtimes.onnx import INTEGERS, SCALES

MICROSOFT = "com.microsoft"  # ONNX Runtime's own operators
MIDDLE = 128  # the byte that stands for zero
FINER = 254  # how many fine steps make one
MAX_TABLE = 2**24  # numbers of what is computed for all words, 64 MiB


def name_weights(model: onnx.ModelProto, weights: Collection[str]) -> list[str]:
    """Take the values of weights out of a graph, in place.

    Args:
        model: The graph.
        weights: Names of the weights that whoever runs the graph hands to it; other constants stay.

    Returns:
        Those that the graph names.
    """
    named = [one for one in model.graph.initializer if _base(one.name) in weights]
    for weight in named:
        for kind in ("raw_data", "float_data", "int32_data", "int64_data"):
            weight.ClearField(kind)
        weight.data_location = TensorProto.EXTERNAL
        weight.external_data.add(key="location", value="checkpoint")
    return [weight.name for weight in named]


def _base(name: str) -> str:
    return name.removesuffix(INTEGERS).removesuffix(SCALES)


def tabulate_words(model: onnx.ModelProto, limit: int = MAX_TABLE) -> None:
    """Let a step look up what a word adds to a cell, in place of multiplying the word's vector by the cell's matrix.

    ``Gemm(Gather(E, tokens), W, b)`` becomes ``Gather(Gemm(E, W, b), tokens)``, whose table ONNX Runtime computes once,
    when it loads the graph.

    Args:
        model: The graph, which is changed in place.
        limit: Most numbers of a table.
    """
    shapes = {one.name: tuple(one.dims) for one in model.graph.initializer}
    gathers = {
        node.output[0]: node for node in model.graph.node if node.op_type == "Gather" and node.input[0] in shapes
    }
    for index, node in enumerate(model.graph.node):
        looked_up = gathers.get(node.input[0]) if node.op_type == "Gemm" else None
        if looked_up is None or node.input[1] not in shapes:
            continue
        (words, tokens), output = looked_up.input, node.output[0]
        if shapes[words][0] * shapes[node.input[1]][0] <= limit:
            node.input[0], node.output[0] = words, f"{output}.table"
            model.graph.node.insert(index + 1, helper.make_node("Gather", [f"{output}.table", tokens], [output]))


class IntegerMatrices:
    """Lets a graph multiply by some matrices as 8-bit integers.

    What is multiplied is rounded as well, to 255 steps between minus and plus its row's largest number. So a row's
    result depends on no other row, as it would with ONNX Runtime's own dynamic quantization, which has one scale for
    all rows: a caption is the same in any batch. What is left over by that rounding is rounded to finer steps and
    multiplied, too, as more rows; but for what comes from the step before, where it makes no difference that can be
    measured.

    Args:
        model: The graph, which is changed in place.
        matrices: Names of weights ``[outputs, inputs]`` that are stored as integers and scales.
    """

    def __init__(self, model: onnx.ModelProto, matrices: Collection[str]) -> None:
        self._graph = model.graph
        self._shapes = {one.name: tuple(one.dims) for one in model.graph.initializer if one.name in matrices}
        self._carried = {one.name for one in model.graph.input}
        self._constants = {one.name for one in model.graph.initializer}
        self._transposed = {
            node.output[0]: node.input[0]
            for node in model.graph.node
            if node.op_type == "Transpose" and node.input[0] in self._shapes
        }
        self._rounded: dict[str, tuple[str, str]] = {}  # from what is multiplied to its bytes and its rows' maxima
        if MICROSOFT not in {one.domain for one in model.opset_import}:
            model.opset_import.append(helper.make_opsetid(MICROSOFT, 1))

    def apply(self) -> None:
        """Change the graph."""
        nodes = [new for node in self._graph.node for new in self._changed(node)]
        del self._graph.node[:]
        self._graph.node.extend(nodes)
        if self._rounded:
            self._graph.initializer.extend(
                [
                    numpy_helper.from_array(np.array(1 / STEPS, dtype=np.float32), "rounding.step"),
                    numpy_helper.from_array(np.array(1 / STEPS / FINER, dtype=np.float32), "rounding.fine_step"),
                    numpy_helper.from_array(np.array(1 / FINER, dtype=np.float32), "rounding.finer"),
                    numpy_helper.from_array(np.array(MIDDLE, dtype=np.uint8), "rounding.middle"),
                    numpy_helper.from_array(np.array(np.finfo(np.float32).tiny), "rounding.least"),
                ]
            )
        self._drop_unread()

    def _changed(self, node: onnx.NodeProto) -> Iterator[onnx.NodeProto]:
        """Yield what stands in a node's place."""
        matrix = self._matrix(node)
        if matrix is None:
            yield node
            return
        rows, output = node.input[0], node.output[0]
        if rows not in self._rounded:
            yield from self._round(rows)
        rounded, largest = self._rounded[rows]
        integers, scales = self._declare(matrix)
        given = [rounded, integers, "rounding.step", scales, "rounding.middle"]
        yield helper.make_node("MatMulIntegerToFloat", given, [f"{output}.product"], domain=MICROSOFT)
        product = f"{output}.product"
        if rows not in self._carried:
            yield from _add_fine(product, f"{output}.sum")
            product = f"{output}.sum"
        bias = node.input[2] if node.op_type == "Gemm" and len(node.input) > 2 else None
        scaled = output if bias is None else f"{output}.scaled"
        yield helper.make_node("Mul", [product, largest], [scaled])
        if bias is not None:
            yield helper.make_node("Add", [scaled, bias], [output])

    def _matrix(self, node: onnx.NodeProto) -> str | None:
        """Return the matrix that a node multiplies by, if it is one that shall be integers."""
        if node.op_type == "Gemm" and node.input[0] not in self._constants:
            turned = {one.name: one.i for one in node.attribute if one.name.startswith("trans")}
            is_plain = turned in ({"transB": 1}, {"transA": 0, "transB": 1})
            return node.input[1] if is_plain and node.input[1] in self._shapes else None
        matrix = self._transposed.get(node.input[1]) if node.op_type == "MatMul" else None
        return matrix if matrix is not None and self._shapes[matrix][0] > 1 else None

    def _round(self, rows: str) -> Iterator[onnx.NodeProto]:
        size, largest, safe = f"{rows}.size", f"{rows}.largest", f"{rows}.largest_or_least"
        share, rounded = f"{rows}.share", f"{rows}.rounded"
        yield helper.make_node("Abs", [rows], [size])
        yield helper.make_node("ReduceMax", [size], [largest], axes=[-1], keepdims=1)
        yield helper.make_node("Max", [largest, "rounding.least"], [safe])
        yield helper.make_node("Div", [rows, safe], [share])
        yield helper.make_node("QuantizeLinear", [share, "rounding.step", "rounding.middle"], [rounded])
        self._rounded[rows] = rounded, safe
        if rows not in self._carried:
            yield from _append_fine(share, rounded)
            self._rounded[rows] = f"{rounded}.both", safe

    def _declare(self, matrix: str) -> tuple[str, str]:
        """Return the names of a matrix's integers and scales."""
        integers, scales = matrix + INTEGERS, matrix + SCALES
        if not any(one.name == integers for one in self._graph.initializer):
            outputs, inputs = self._shapes[matrix]
            for name, kind, dims in (
                (integers, TensorProto.INT8, (inputs, outputs)),
                (scales, TensorProto.FLOAT, (outputs,)),
            ):
                self._graph.initializer.append(TensorProto(name=name, data_type=kind, dims=dims))
        return integers, scales

    def _drop_unread(self) -> None:
        """Take out what nothing reads any more."""
        outputs = {one.name for one in self._graph.output}
        read = {name for node in self._graph.node for name in node.input} | outputs
        for node in [one for one in self._graph.node if one.op_type == "Transpose" and one.output[0] not in read]:
            self._graph.node.remove(node)
        read = {name for node in self._graph.node for name in node.input}
        for weight in [one for one in self._graph.initializer if one.name not in read]:
            self._graph.initializer.remove(weight)


def _append_fine(share: str, rounded: str) -> Iterator[onnx.NodeProto]:
    """Yield what appends to rounded rows what they lack of their shares, in fine steps."""
    back, lacking, fine = f"{rounded}.back", f"{rounded}.lacking", f"{rounded}.fine"
    yield helper.make_node("DequantizeLinear", [rounded, "rounding.step", "rounding.middle"], [back])
    yield helper.make_node("Sub", [share, back], [lacking])
    yield helper.make_node("QuantizeLinear", [lacking, "rounding.fine_step", "rounding.middle"], [fine])
    yield helper.make_node("Concat", [rounded, fine], [f"{rounded}.both"], axis=0)


def _add_fine(product: str, output: str) -> Iterator[onnx.NodeProto]:
    """Yield what adds the products of fine rows to those of the rows before them."""
    coarse, fine, scaled = f"{product}.coarse", f"{product}.fine", f"{product}.fine_scaled"
    yield helper.make_node("Split", [product], [coarse, fine], axis=0)
    yield helper.make_node("Mul", [fine, "rounding.finer"], [scaled])
    yield helper.make_node("Add", [coarse, scaled], [output])
