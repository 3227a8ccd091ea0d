"""."""

SOLVERS = {}
