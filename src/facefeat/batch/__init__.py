"""Pictures by the million into one table of faces, on one machine or on a cluster.

from facefeat.batch import run_batch

done = run_batch("photos/", "faces.parquet", resume=True)      # a BatchSummary: .pictures, .faces, .empty, .failed
"""

from facefeat.batch.cluster import Cluster
from facefeat.batch.parts import BatchSummary
from facefeat.batch.run import run_batch

__all__ = ["BatchSummary", "Cluster", "run_batch"]
