"""The files that each trial carries, as Optuna's artifacts: where they lie, and the store that the dashboard reads.

An artifact's id is its place in the order, then the token of the attempt that ended the trial. No two attempts share
a token, so none overwrites another's file; only the files of an attempt that has ended its trial are ever named.
"""

import io
import json
import threading
from collections.abc import Sequence
from typing import BinaryIO

from optuna.artifacts.exceptions import ArtifactNotFound

from storage import files
from storage.database import Database
from storage.endings import Artifact
from storage.studies import study_of_token
from study._artifact_names import KINDS, RECORD, REPORT, artifact_id
from study.stored import decoded


def artifacts_of(token: str) -> Sequence[Artifact]:
    """All artifacts of an attempt."""
    return [Artifact(artifact_id(kind, token), name, mimetype) for kind, (name, mimetype) in KINDS.items()]


def draw_report(folder: str, token: str) -> bytes:
    """Draw a trial's picture from its record, keep it, and return the PNG.

    Raises:
        OSError: There is no record.
    """
    from study.figures.trial import trial_report

    picture = trial_report(json.loads(files.read_file(files.join(folder, artifact_id(RECORD, token)))))
    files.write_file(files.join(folder, artifact_id(REPORT, token)), picture)
    return picture


class StudyArtifacts:
    """An ``optuna.artifacts`` store over the artifact folders of all studies of a database.

    A picture that has not been drawn yet is drawn when it is asked for. Threads may share it.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._folders: dict[str, str] = {}
        self._drawing = threading.Lock()  # one at a time is enough, and matplotlib is safe so

    def open_reader(self, artifact_id: str) -> BinaryIO:
        """See ``optuna.artifacts``.

        Raises:
            ArtifactNotFound: There is no such artifact.
        """
        folder, kind, token = self._place(artifact_id)
        try:
            return io.BytesIO(files.read_file(files.join(folder, artifact_id)))
        except OSError:
            if kind != str(REPORT):
                raise self._missing(artifact_id) from None
        try:
            with self._drawing:
                return io.BytesIO(draw_report(folder, token))
        except OSError:
            raise self._missing(artifact_id) from None

    def write(self, artifact_id: str, content_body: BinaryIO) -> None:
        """See ``optuna.artifacts``.

        Raises:
            ArtifactNotFound: Always: what is uploaded by hand has no study's folder to go to.
        """
        raise ArtifactNotFound(f"{artifact_id}: Studyhall keeps the files of its own trials only")

    def remove(self, artifact_id: str) -> None:
        """See ``optuna.artifacts``.

        Raises:
            ArtifactNotFound: There is no such artifact.
        """
        files.remove(files.join(self._place(artifact_id)[0], artifact_id))

    def _place(self, artifact_id: str) -> tuple[str, str, str]:
        """Folder, kind and token."""
        kind, _, token = artifact_id.partition("-")
        if not token.isalnum():
            raise self._missing(artifact_id)
        if token not in self._folders:
            record = study_of_token(self._database, token)
            if record is None:
                raise self._missing(artifact_id)
            self._folders[token] = decoded(record).trial_artifacts
        return self._folders[token], kind, token

    def _missing(self, artifact_id: str) -> ArtifactNotFound:
        return ArtifactNotFound(f"there is no artifact {artifact_id}")
