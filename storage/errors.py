"""Every exception that a caller may want to catch.

StudyhallError
├── DataError          (also a ValueError) the data cannot be used
├── ConfigError        (also a ValueError) the study file or a change to it cannot be accepted
├── DatabaseError      the database cannot be reached or used
│   ├── AddressError   its URL cannot be used
│   └── SchemaError    its tables belong to another Optuna, or to a later Studyhall
├── StudyMissing       there is no study or trial of that name
├── LeaseLost          another agent has taken over the trial
└── SpaceMigrated      an agent has a search space that is the study's no longer
"""


class StudyhallError(Exception):
    """Something a user can mend; the message says what was given, what is accepted and what to do."""


class DataError(StudyhallError, ValueError):
    """The data cannot be used: names file, dataset, what was found, what is accepted and what to do."""


class ConfigError(StudyhallError, ValueError):
    """The study file, or a change to a study, cannot be accepted: names the key and what is accepted."""


class DatabaseError(StudyhallError):
    """The database cannot be reached or used."""


class AddressError(DatabaseError):
    """The URL of a database cannot be used: says what is accepted."""


class SchemaError(DatabaseError):
    """The database's tables belong to another version of Optuna, or to a later one of Studyhall."""


class StudyMissing(StudyhallError):
    """There is no study or trial of that name."""


class LeaseLost(StudyhallError):
    """Another agent has taken over the trial; its writes are refused."""


class SpaceMigrated(StudyhallError):
    """The study's search space was changed while this agent was not heard of; it must be started again."""
