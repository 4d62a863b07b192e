"""The samplers and pruners that are compared."""

from typing import Any

from search_run import Method

HALVING = {"min_resource": 1, "reduction_factor": 3}
RANDOM = {"name": "random"}


def _tpe(**options: Any) -> dict[str, Any]:
    return {"name": "tpe", **options}


_ALL = (
    Method("random", sampler=RANDOM),
    Method("random, halving", sampler=RANDOM, halving=HALVING),
    Method("stock", stock=True),
    Method("tpe, halving", halving=HALVING),
    Method("tpe fair, halving", halving=HALVING, fair=True),
    Method("tpe, pausing", halving=HALVING, pause=True),
    Method("tpe fair, pausing", halving=HALVING, fair=True, pause=True),
    Method("multi fair, pausing", sampler=_tpe(multivariate=True), halving=HALVING, fair=True, pause=True),
    Method("tpe10 fair, pausing", sampler=_tpe(n_startup_trials=10), halving=HALVING, fair=True, pause=True),
    Method("random, pausing", sampler=RANDOM, halving=HALVING, pause=True),
)
METHODS = {method.name: method for method in _ALL}
REPORTED = (
    "random",
    "random, halving",
    "random, pausing",
    "stock",
    "tpe, halving",
    "tpe fair, halving",
    "tpe fair, pausing",
)
