"""
Tests of siger.proxy.
"""
