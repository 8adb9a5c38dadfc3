"""Image captioning: an image in, a caption out, with where the model looked for every word.

Nothing heavy is imported here; import what you use from the modules, first of all
``captioner.predictor.CaptionPredictor``.
"""

__version__ = "0.1.0"
