"""
Tests of siger.http.
"""
