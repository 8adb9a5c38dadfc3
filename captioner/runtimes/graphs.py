"""Changes to ONNX graphs: weights named in place of held, and matrices multiplied as 8-bit integers."""

from collections.abc import Collection, Mapping

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from captioner.header import BLOCK
from captioner.runtimes.weights import INTEGERS, SCALES

MICROSOFT = "com.microsoft"  # ONNX Runtime's own operators
EXACT = 32  # words per row whose scores are exact: twice 16 beams, and more than enough for five
AS_INTEGERS = 4  # the level of MatMulNBits at which it rounds what it multiplies to 8 bits
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
        words, tokens, output = looked_up.input[0], looked_up.input[1], node.output[0]
        if shapes[words][0] * shapes[node.input[1]][0] <= limit:
            node.input[0], node.output[0] = words, f"{output}.table"
            model.graph.node.insert(index + 1, helper.make_node("Gather", [f"{output}.table", tokens], [output]))


class IntegerMatrices:
    """Lets a step multiply by its matrices as 8-bit integers, and score the likeliest words exactly.

    What is multiplied is rounded as well, in blocks of a row, each to 255 steps of its own; so a row's result does not
    depend on what stands in the others. (How many there are changes the order of sums in floating point, by some 1e-6.)
    Rounding the scores of words cost most. So they serve to find the likeliest, whose scores are then computed anew in
    floating point; a search of up to 16 beams takes no others.

    Args:
        model: The graph, which is changed in place.
        matrices: Names of weights ``[outputs, inputs]``.
    """

    def __init__(self, model: onnx.ModelProto, matrices: Collection[str]) -> None:
        self._model = model
        self._graph = model.graph
        shapes = {one.name: tuple(one.dims) for one in model.graph.initializer if one.name in matrices}
        self._shapes = {name: shape for name, shape in shapes.items() if shape[0] > 1}
        self._scores = {node.input[0] for node in model.graph.node if node.op_type == "LogSoftmax"}

    def apply(self) -> None:
        """Change the graph."""
        constants = {one.name for one in self._graph.initializer}
        transposed = _transposed(self._graph)
        nodes: list[onnx.NodeProto] = []
        found: list[str] = []
        for node in self._graph.node:
            matrix = multiplied(node, transposed)
            if matrix is None or matrix not in self._shapes or node.input[0] in constants:
                nodes.append(node)
                continue
            found.append(matrix)
            nodes += self._scored(node, matrix) if node.output[0] in self._scores else [self._product(node, matrix)]
        del self._graph.node[:]
        self._graph.node.extend(nodes)
        for matrix in dict.fromkeys(found):
            self._declare(matrix)
        numbers = {"exact.count": [EXACT], "exact.axis": [2]}
        given = [numpy_helper.from_array(np.array(value), name) for name, value in numbers.items()]
        self._graph.initializer.extend(given)
        drop_unread(self._graph)
        self._model.opset_import.append(helper.make_opsetid(MICROSOFT, 1))

    def _product(self, node: onnx.NodeProto, matrix: str, output: str | None = None) -> onnx.NodeProto:
        outputs, inputs = self._shapes[matrix]
        bias = ["", "", node.input[2]] if node.op_type == "Gemm" and len(node.input) > 2 else []
        given = [node.input[0], matrix + INTEGERS, matrix + SCALES, *bias]
        sizes = {"K": inputs, "N": outputs, "bits": 8, "block_size": BLOCK, "accuracy_level": AS_INTEGERS}
        return helper.make_node("MatMulNBits", given, [output or node.output[0]], domain=MICROSOFT, **sizes)

    def _scored(self, node: onnx.NodeProto, matrix: str) -> list[onnx.NodeProto]:
        """Return what scores all words roughly and the likeliest of them exactly; the node itself for a few words."""
        if self._shapes[matrix][0] <= EXACT or len(node.input) < 3:
            return [node]
        told, bias, scores = node.input[0], node.input[2], node.output[0]
        rough, words, exact = f"{scores}.rough", f"{scores}.words", f"{scores}.exact"
        return [
            self._product(node, matrix, rough),
            helper.make_node("TopK", [rough, "exact.count"], [f"{scores}.best", words], axis=1),
            helper.make_node("Gather", [matrix, words], [f"{scores}.vectors"]),  # [R, EXACT, N]
            helper.make_node("Unsqueeze", [told, "exact.axis"], [f"{scores}.told"]),  # [R, N, 1]
            helper.make_node("MatMul", [f"{scores}.vectors", f"{scores}.told"], [f"{scores}.products"]),
            helper.make_node("Squeeze", [f"{scores}.products", "exact.axis"], [f"{scores}.squeezed"]),  # [R, EXACT]
            helper.make_node("Gather", [bias, words], [f"{scores}.biases"]),
            helper.make_node("Add", [f"{scores}.squeezed", f"{scores}.biases"], [exact]),
            helper.make_node("ScatterElements", [rough, words, exact], [scores], axis=1),
        ]

    def _declare(self, matrix: str) -> None:
        """Name a matrix's integers and scales as weights."""
        outputs, inputs = self._shapes[matrix]
        blocks = -(-inputs // BLOCK)
        for name, kind, dims in (
            (matrix + INTEGERS, TensorProto.UINT8, (outputs, blocks, BLOCK)),
            (matrix + SCALES, TensorProto.FLOAT, (outputs, blocks)),
        ):
            self._graph.initializer.append(TensorProto(name=name, data_type=kind, dims=dims))


def drop_unread(graph: onnx.GraphProto) -> None:
    """Take out what nothing reads."""
    while True:
        read = {name for node in graph.node for name in node.input} | {one.name for one in graph.output}
        unread = [node for node in graph.node if not read.intersection(node.output)]
        for node in unread:
            graph.node.remove(node)
        if not unread:
            break
    for weight in [one for one in graph.initializer if one.name not in read]:
        graph.initializer.remove(weight)


def _transposed(graph: onnx.GraphProto) -> dict[str, str]:
    """Return what is transposed, by the name of the result."""
    return {node.output[0]: node.input[0] for node in graph.node if node.op_type == "Transpose"}


def multiplied(node: onnx.NodeProto, transposed: Mapping[str, str]) -> str | None:
    """Return the name of what a node multiplies by as a linear layer does, if it does that.

    Args:
        node: The node.
        transposed: From the names of transposed matrices to those of the matrices.
    """
    if node.op_type == "Gemm":
        turned = {one.name: one.i for one in node.attribute if one.name.startswith("trans")}
        return node.input[1] if turned in ({"transB": 1}, {"transA": 0, "transB": 1}) else None
    return transposed.get(node.input[1]) if node.op_type == "MatMul" else None


def sensitive(prepare: onnx.ModelProto, step: onnx.ModelProto, matrices: Collection[str]) -> set[str]:
    """Return the names of matrices that do not bear to be rounded row by row: captions change.

    They are those by which a step multiplies what it has just found out, not what it carries from the step before, and
    those that the grid is multiplied by.

    Args:
        prepare: The graph that prepares images.
        step: The graph of a step.
        matrices: Names of the matrices.
    """
    carried = {one.name for one in step.graph.input} | {one.name for one in step.graph.initializer}
    read = _depends(prepare.graph, "grid")
    found: set[str | None] = set()
    for graph, sensible in ((step.graph, lambda name: name not in carried), (prepare.graph, read.__contains__)):
        transposed = _transposed(graph)
        found |= {multiplied(node, transposed) for node in graph.node if node.input and sensible(node.input[0])}
    return found.intersection(matrices)  # type: ignore[return-value]  # which are names


def _depends(graph: onnx.GraphProto, source: str) -> set[str]:
    """Return the names of all that depends on an input, its own included."""
    found = {source}
    for node in graph.node:
        if found.intersection(node.input):
            found.update(node.output)
    return found
