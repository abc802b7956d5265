"""
Tests of siger.http.hpack.
"""
