"""The data path: from a file of events to batches on a device."""

from objectives._dataset import CACHES, Cache, Dataset, DataSettings, open_dataset
from objectives._finite import NonFinite, check_finite, non_finite
from objectives._prefetch import batch_bounds, batches
from objectives._source import EventSource, FileSource, MemorySource, StreamSource, fits_in_memory, load_source
from objectives._tensor import to_tensor

__all__ = [
    "CACHES",
    "Cache",
    "DataSettings",
    "Dataset",
    "EventSource",
    "FileSource",
    "MemorySource",
    "NonFinite",
    "StreamSource",
    "batch_bounds",
    "batches",
    "check_finite",
    "fits_in_memory",
    "load_source",
    "non_finite",
    "open_dataset",
    "to_tensor",
]
