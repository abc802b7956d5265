"""
HTTP without a socket: heads and bodies parsed strictly and written anew, and the channels that own connections.
"""
