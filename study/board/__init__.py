"""What optuna-dashboard shows of a study beside its trials: a note and plots."""
