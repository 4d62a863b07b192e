"""Which of a driver's errors may pass by themselves."""

from sqlalchemy.exc import DBAPIError

SQLSTATES = ("08", "53300", "55P03", "57P01", "57P02", "57P03")
"""PostgreSQL: connection lost or refused, too many clients, lock timeout, shutdown or start of the server."""
MYSQL_CODES = (1040, 1053, 1205, 1927, 2002, 2003, 2006, 2013, 2055)
"""MariaDB: too many clients, shutdown, lock timeout, connection killed, refused, gone or lost."""
SQLITE_WORDS = ("database is locked", "database table is locked", "database schema is locked")


def transient(error: DBAPIError) -> bool:
    """Whether the same transaction may succeed later: the connection is lost or refused, or a lock is taken."""
    if error.connection_invalidated:
        return True
    original = error.orig
    state = getattr(original, "sqlstate", None)
    if state:
        return str(state).startswith(SQLSTATES)
    code = original.args[0] if original is not None and original.args else None
    if isinstance(code, int):
        return code in MYSQL_CODES
    if type(original).__module__.startswith("psycopg"):
        # Without a state the server never answered: it is away, or still starting.
        return type(original).__name__ == "OperationalError"
    return any(words in str(original) for words in SQLITE_WORDS)
