"""
Tests of siger.auth.
"""
