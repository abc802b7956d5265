"""
Tests of L{siger.jobs}.
"""
