"""
Tests of L{siger.tls}.
"""
