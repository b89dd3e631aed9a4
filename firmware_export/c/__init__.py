"""The C99 bundle: what a firmware project compiles."""
