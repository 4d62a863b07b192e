"""What a study's configuration means, and what its data are.

The parts are `study._plan` (names looked up), `study._plan_data` (events opened, selected and split) and
`study._facts` (what is stored of them).
"""

from study._facts import Facts, check_fingerprint, gather_facts, make_task
from study._plan import Plan, build_plan
from study._plan_data import layout_of, open_data, selection_of

__all__ = [
    "Facts",
    "Plan",
    "build_plan",
    "check_fingerprint",
    "gather_facts",
    "layout_of",
    "make_task",
    "open_data",
    "selection_of",
]
