"""Fixes to third-party packages: one module a package, named after it.

Each module names the package, the versions that it is for (`VERSIONS`) and the reason in its docstring;
has `load()`, which returns the package, repaired where that is needed; and has a test which proves that
the fix is still needed. A module leaves when its test says so. Nothing is patched by importing this.
"""
