"""Captions in photos' own metadata: XMP in sidecars and in the photos, with IPTC and EXIF beside it.

A person's words are never taken for the model's: what is written goes along with a copy of it in a namespace of ours,
and a description is the model's only where it equals that copy.
"""
