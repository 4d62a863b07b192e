"""The study's events in a form that is read quickly: converted once per cache folder, where they are not already."""

import logging
from dataclasses import replace

from objectives._data import Dataset, fits_in_memory
from storage.ingest import CannotConvert, Progress, cache_folder, ingest, silent
from study._plan import Plan
from study._plan_data import configured_cache, open_data

logger = logging.getLogger(__name__)


def ingested(plan: Plan, dataset: Dataset, progress: Progress = silent) -> Dataset:
    """The same events, read from a converted copy where the file itself is slow to read; made now if there is none.

    With ``data.cache: memory`` nothing is converted: the file is read once per host. Where there is no place for a
    copy, events that fit into memory are read so too, and ``data.cache: map`` reads them through HDF5.

    Raises:
        CannotConvert: There is no place for the copy, and the events do not fit into memory.
        DataError: The events cannot be read.
    """
    file, cache = dataset.file, plan.config.data.cache
    if not file.needs_conversion or cache == "memory":
        return dataset
    try:
        folder = cache_folder(file.path, configured_cache())
        return replace(dataset, file=ingest(file, folder, progress=progress, waiting=_waits))
    except CannotConvert as error:
        if cache == "stream" or (cache == "auto" and not fits_in_memory(file, dataset.used)):
            raise
        logger.warning("%s; going on without, which is slower", error)
        return dataset


def prepare_data(plan: Plan, progress: Progress = silent) -> None:
    """Convert the study's events now if they need it.

    Raises:
        ConfigError, DataError: As `open_data` and `ingested`.
    """
    ingested(plan, open_data(plan), progress)


def _waits() -> None:
    logger.info("another process converts the same events; waiting for it")
