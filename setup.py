"""Compile the C99 runtime into the package; without a compiler the install goes on and numpy serves instead."""

from setuptools import setup

setup(cffi_modules=["kws/runtime/build.py:builder"])
