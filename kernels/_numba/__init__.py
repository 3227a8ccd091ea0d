"""CPU kernels, compiled by Numba on first use and cached on disk.

Modules without an underscore hold the kernels of `numopt.kernels.KERNELS`; the others are what these share.
"""
