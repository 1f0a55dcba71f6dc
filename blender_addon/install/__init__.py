"""Making Python environments: the extension's for its backend, and those of the checkout. Used by build.py too.

Standard library only. What is shown to a person is a ``Text`` or a ``UserError``, whose words are
translated when they are shown.
"""
