"""What the extension and the backend must agree on: constants, formulas, names. Standard library and numpy only.

The packer copies this folder into the extension as ``protocol``; it imports nothing but its own modules.
"""
