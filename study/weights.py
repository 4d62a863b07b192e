"""A trial's weights: those kept from its training, or trained again."""

import contextlib
import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch

from storage import files
from storage.errors import DataError
from storage.history import TrialRow
from study._retraining import retrain_here
from study._training import load_trial_data
from study.devices import torch_name
from study.plan import Plan
from study.stored import StoredStudy

logger = logging.getLogger(__name__)


@contextlib.contextmanager
def trial_weights(stored: StoredStudy, plan: Plan, row: TrialRow) -> Iterator[Path]:
    """A safetensors file of the trial's best weights, valid inside the context.

    Weights of all but the best few trials are not kept; such a trial is trained again, which gives the same bits on
    the same machine.

    Raises:
        DataError: Training again gave another value, so this is not the machine, data or version it was trained on.
    """
    kept = row.weights is not None and files.exists(row.weights)
    if row.weights is not None and kept and not files.is_remote(row.weights):
        yield Path(row.weights)
        return
    with tempfile.TemporaryDirectory(prefix="studyhall-") as folder:
        path = Path(folder) / "best.safetensors"
        if row.weights is not None and kept:
            path.write_bytes(files.read_file(row.weights))
        else:
            _train_again(stored, plan, row, path)
        yield path


def _train_again(stored: StoredStudy, plan: Plan, row: TrialRow, path: Path) -> None:
    device = torch_name(str(row.attributes.get("device", "cpu")))
    if device != "cpu" and not torch.cuda.is_available():
        raise DataError(
            f"the weights of trial {row.number} were not kept, and it was trained on {device}, which this machine "
            "lacks; export it on a machine with a GPU, or raise checkpoint.keep in the next study"
        )
    logger.warning("the weights of trial %d were not kept: training it again", row.number)
    data = load_trial_data(plan, stored.facts)
    with one_thread():
        again = retrain_here(plan, stored.facts, row, data, device, epochs=None)
    if again.value != row.value or again.weights is None:
        raise DataError(
            f"trial {row.number} trained again gives {plan.metric} {again.value!r}, not {row.value!r}: another "
            "machine, data file or version of torch than it was trained with (`studyhall reproduce "
            f"{stored.name} --trial {row.number}` says which); export it there"
        )
    path.write_bytes(again.weights)


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Compute as a worker on the CPU does: the number of threads changes the last bits."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
