"""
Tests of L{siger.worker}.
"""
