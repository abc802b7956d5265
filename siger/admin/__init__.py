"""
The local Klein application: health, metrics and status.
"""
