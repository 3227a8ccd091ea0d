"""GPU kernels: CUDA C++ templates in `.cu` files and the thin callers that launch them on CuPy arrays.

CuPy is imported at the first launch. Every caller takes the launch function as a keyword, so that tests run the same
caller and the same source on the CPU.
"""
