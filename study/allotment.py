"""The time that a batch system has allotted to a job."""

import time

LEAVE_S = 30.0
"""Before its end an agent hands its trials back: workers need a batch boundary, and time to write a checkpoint."""
WORTH_S = 30.0
"""A trial is not begun for less work than this."""


class Allotment:
    """How much of the time is left; without an end there is always enough."""

    def __init__(self, ends_at: float | None) -> None:
        """Take note of when the job will be killed, as `time.time`; None means never."""
        self._ends_at = ends_at

    @property
    def over(self) -> bool:
        """Whether it is time to leave."""
        return self._left_s() < LEAVE_S

    @property
    def enough(self) -> bool:
        """Whether a trial may begin: it will at least train for a while and leave a checkpoint."""
        return self._left_s() >= LEAVE_S + WORTH_S

    def _left_s(self) -> float:
        return float("inf") if self._ends_at is None else self._ends_at - time.time()
