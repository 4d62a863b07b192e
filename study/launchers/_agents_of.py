"""How an engine's agents share the trials at a time."""

from study.launchers._launcher import AgentOrder

AUTO = 4
"""Workers on a device that ``per_device: auto`` may come to: what an engine allots is settled before anything runs."""


def agents_of(order: AgentOrder) -> tuple[int, int]:
    """How many agents are wanted, and how many trials at a time each of them runs.

    Trials at a time are rounded up to whole agents.

    Returns:
        Agents and slots of each; one agent when the order names no number of trials at a time.
    """
    per_device = AUTO if order.per_device == "auto" else order.per_device
    slots = per_device * max(1, order.gpus_per_agent)
    return (1 if order.workers is None else -(-order.workers // slots)), slots
