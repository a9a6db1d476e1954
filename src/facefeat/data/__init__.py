"""Data sets: importers for FairFace, UTKFace and any CSV; one table; crops decoded once; batches.

from facefeat.data import Batches, load_dataset

train = load_dataset("UTKFace.tar").split("train")
crops = train.crops(96)                                  # (N, 96, 96, 3) uint8, memory-mapped
for images, targets in Batches(crops, train.labels(), batch_size=64).epoch(0):
    ...
"""

from facefeat.data.batches import Batches
from facefeat.data.collect import Skipped
from facefeat.data.dataset import FaceDataset
from facefeat.data.imported import check_dataset_output, check_pictures, load_dataset, write_dataset
from facefeat.data.importers import FORMATS, Import, read_raw

__all__ = [
    "FORMATS",
    "Batches",
    "FaceDataset",
    "Import",
    "Skipped",
    "check_dataset_output",
    "check_pictures",
    "load_dataset",
    "read_raw",
    "write_dataset",
]
