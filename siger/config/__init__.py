"""
Typed settings from YAML and the environment.
"""
