"""Reference kernels in the plain array API: the definition of every kernel and the oracle of its tests.

They loop in Python and are meant for small sizes. Nothing here leaves the arrays' device except row numbers.
"""
