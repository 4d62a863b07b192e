"""The data of a private database server: made whole or not at all, with a role that rules nothing but its database."""

import base64
import hashlib
import hmac
import os
import secrets
import shutil

from storage._postgres_programs import Programs, failure
from storage._server_folder import ServerFolder
from storage._server_settings import DATABASE, ROLE
from storage.errors import DatabaseError

LISTEN_FILE = "listen.conf"
CONFIGURATION = f"""
# Written once by `studyhall database start`; what you add below these lines wins.
max_connections = 200
fsync = on
synchronous_commit = on          # a finished trial survives a power cut
unix_socket_directories = ''     # one way in: the address, with its password
password_encryption = scram-sha-256
max_wal_size = 2GB
checkpoint_timeout = 15min       # many small transactions: write whole pages to the log less often
wal_compression = on
random_page_cost = 1.1
jit = off                        # compiling costs more than our statements
max_parallel_workers_per_gather = 0   # parallel queries need /dev/shm, which containers have little of
max_parallel_maintenance_workers = 0
tcp_keepalives_idle = 60         # seconds; a host that vanished holds no lock for hours
tcp_keepalives_interval = 10
tcp_keepalives_count = 6
timezone = 'UTC'
log_timezone = 'UTC'
log_checkpoints = off
log_line_prefix = '%m [%p] '
include_if_exists = '{LISTEN_FILE}'
"""
ROUNDS = 4096  # PostgreSQL's own scram_iterations


def create_cluster(folder: ServerFolder, programs: Programs) -> None:
    """Make the data beside their place and rename them into it: what a kill leaves is not taken for data.

    PostgreSQL's own superuser gets no password, and no rule of access lets it in.

    Raises:
        DatabaseError: ``initdb`` failed.
    """
    partial = folder.partial
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(mode=0o700)
    try:
        if programs.account:
            os.chown(partial, programs.account.uid, programs.account.gid)
        made = programs.run(
            *("initdb", "-D", partial, "--username=postgres", "--auth=reject"),
            *("--encoding=UTF8", "--locale=C", "--data-checksums"),
        )
        if made.returncode != 0:
            raise DatabaseError(f"no database could be made in {folder.path}: {failure(made.stderr)}")
        run_alone(programs, partial, f"CREATE ROLE {ROLE} LOGIN\nCREATE DATABASE {DATABASE} OWNER {ROLE}\n")
        with (partial / "postgresql.conf").open("a", encoding="utf-8") as file:
            file.write(CONFIGURATION)
        partial.rename(folder.data)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def set_password(folder: ServerFolder, programs: Programs, password: str) -> None:
    """Give our role a password; the server must be stopped.

    Raises:
        DatabaseError: It failed.
    """
    run_alone(programs, folder.data, f"ALTER ROLE {ROLE} PASSWORD '{scram_verifier(password)}'\n")


def run_alone(programs: Programs, data: os.PathLike[str], statements: str) -> None:
    """Run statements, one a line, as the superuser in PostgreSQL's single-user mode.

    Raises:
        DatabaseError: One of them failed.
    """
    ran = programs.run(
        *("postgres", "--single", "-D", os.fspath(data), "-c", "exit_on_error=true", "postgres"), stdin=statements
    )
    if ran.returncode != 0:
        raise DatabaseError(f"the database in {data} cannot be prepared: {failure(ran.stderr)}")


def scram_verifier(password: str) -> str:
    """What PostgreSQL keeps of an ASCII password (RFC 5803), so that the password itself is in no statement."""
    salt = secrets.token_bytes(16)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode("ascii"), salt, ROUNDS)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    salt64, stored64, server64 = (base64.b64encode(part).decode("ascii") for part in (salt, stored, server))
    return f"SCRAM-SHA-256${ROUNDS}:{salt64}${stored64}:{server64}"
