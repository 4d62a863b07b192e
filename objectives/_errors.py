"""What ends a training early, for those who train.

ArithmeticError
  NonFiniteLoss   the loss is NaN or infinite
Exception
  Interrupted     the caller asked to stop
"""


class NonFiniteLoss(ArithmeticError):
    """The loss became NaN or infinite: the hyperparameters lead nowhere, or the data hold such values."""


class Interrupted(Exception):
    """The caller asked to stop; the trainer stands at a batch boundary, and its state may be saved there."""
