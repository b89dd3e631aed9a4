"""The runtime as a microcontroller would run it: cross-compiled, emulated, counted (``kws[simulate]``)."""
