"""Recordings that are tables: HDF5, NumPy, text, MATLAB."""
