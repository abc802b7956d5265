"""
Tests of siger.admin.
"""
