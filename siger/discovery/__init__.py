"""
Who exists: static configuration and Consul, both feeding one catalogue.
"""
