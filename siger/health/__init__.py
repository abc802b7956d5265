"""
Asking instances whether they are well.
"""
