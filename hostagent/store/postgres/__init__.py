"""PostgreSQL, and what speaks its protocol: the store of many hosts.

Needs psycopg 3 (``pip install hostagent[postgres]``); imported only when a URL asks for it.
"""
