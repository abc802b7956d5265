"""
Tests of L{siger.jobs.client}.
"""
