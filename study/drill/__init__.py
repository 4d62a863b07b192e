"""Faults made on purpose, to prove on one's own machines and database that nothing is lost or doubled.

The drill starts agents of its own on a scratch study. They say when they stand at a named point of a trial's life
(`storage._failpoints`), and there one of them is killed or frozen, or its connection is cut, delayed, or robbed of an
answer by a relay that stands before the database. Nobody else's processes or rows are touched.
"""
