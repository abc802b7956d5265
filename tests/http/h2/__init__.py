"""
Tests for L{siger.http.h2}.
"""
