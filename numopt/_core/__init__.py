"""What every solver shares: the loop, statuses and messages, validation, callbacks, progress, checkpoints, comm.

Nothing is imported here: `numopt.Status` must not load what results and options need (scipy.optimize).
"""
