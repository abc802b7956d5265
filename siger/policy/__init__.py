"""
Admission: small pure steps over a request head.
"""
