"""CUDA kernels: functions on device arrays, compiled at their first launch.

This package is the only one that imports ``numba.cuda``, in :mod:`mfviz.kernels.cuda.target`.
Importing it needs neither a driver nor numba-cuda.
"""
