"""What a browser sees: optuna-dashboard behind a login, read-only unless allowed, with cheap polls."""
