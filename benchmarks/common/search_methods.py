"""The samplers and pruners that are compared."""

from search_run import Method

from study.search import SPARE

HALVING = {"min_resource": 1, "reduction_factor": 3}
SPARING = HALVING | {"spare": SPARE}
LATER = HALVING | {"min_resource": 3}
RANDOM = {"name": "random"}
EARLY = {"name": "tpe", "n_startup_trials": 10, "random_share": 0.1}

_ALL = (
    Method("random", sampler=RANDOM),
    Method("random, halving", sampler=RANDOM, halving=HALVING),
    Method("random, sparing", sampler=RANDOM, halving=SPARING),
    Method("random, pausing", sampler=RANDOM, halving=SPARING, pause=True),
    Method("stock", stock=True),
    Method("tpe, halving", halving=HALVING),
    Method("fair tpe, halving", halving=HALVING, fair=True),
    Method("tpe, sparing", halving=SPARING),
    Method("ours", halving=SPARING, fair=True),
    Method("ours, pausing", halving=SPARING, fair=True, pause=True),
    Method("foreseeing pruner", sampler=RANDOM, foresees="pruner"),
    Method("foreseeing sampler", sampler=RANDOM, foresees="sampler"),
    Method("tpe, 10 first", sampler=EARLY, halving=SPARING),
    Method("ours, rungs 3 and 9", halving=LATER, fair=True),
)
METHODS = {method.name: method for method in _ALL}
REPORTED = ("random", "random, halving", "random, sparing", "stock", "tpe, halving", "ours", "ours, pausing")
