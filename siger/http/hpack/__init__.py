"""
HPACK, the form that fields have on HTTP/2 connections (RFC 7541).
"""
