"""Where a model is computed: the same steps in torch, or as graphs in ONNX Runtime; and the export of the graphs.

Nothing is imported here, so that what serves with one runtime does not load the other.
"""
