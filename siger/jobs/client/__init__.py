"""
C{siger job}: a client of the gateway's jobs that needs the standard library alone.
"""
