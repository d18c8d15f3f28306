"""Everything exact: what selects a frequency table, and what codes a symbol with it.

This is the part that another language has to port to the last bit. It needs numpy; one file, `ans`, uses constriction
where it is installed.
"""
