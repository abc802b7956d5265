"""
A gateway to try: small backends that say what reached them, and a launcher that puts a gateway before two of them.
"""
