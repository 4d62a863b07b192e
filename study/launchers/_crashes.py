"""When a crashed agent is started again, and when it is given up."""

FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 60.0
"""Before a crashed agent is started again: twice as long after each crash in a row."""
INSTANT_S = 60.0
"""An agent that lives longer than this has done some work: its crash begins a new row."""
MOST_CRASHES = 3
"""In a row; then the reason will not go away by itself."""


class Crashes:
    """The crashes of one agent.

    Attributes:
        in_a_row: How many have followed each other.
    """

    def __init__(self) -> None:
        self.in_a_row = 0

    def pause_s(self, lived_s: float) -> float | None:
        """Count a crash: seconds to wait before the agent is started again, or None when it is given up.

        Args:
            lived_s: Since its start.
        """
        self.in_a_row = self.in_a_row + 1 if lived_s < INSTANT_S else 1
        if self.in_a_row >= MOST_CRASHES:
            return None
        return min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** (self.in_a_row - 1))
