"""Faces by likeness: latents in a LanceDB table on disk, and the nearest of them.

from facefeat.index import DatasetFaces, FaceIndex, build_index

build_index(model, DatasetFaces(dataset), "faces.index")
index = FaceIndex("faces.index")
index.check(model)                                       # another model's latents mean something else
found = index.nearest(model.encode(crops), count=8)      # (N, H, W, 3) uint8 -> a list of Neighbours for each
"""

from facefeat.index.build import DatasetFaces, PhotoFaces, build_index
from facefeat.index.database import FaceIndex, Neighbour

__all__ = ["DatasetFaces", "FaceIndex", "Neighbour", "PhotoFaces", "build_index"]
