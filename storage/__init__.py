"""Everything that outlives a process: database, leases, checkpoints, HDF5."""
