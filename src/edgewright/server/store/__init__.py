"""What the server remembers: tables, migrations, and one module of queries per aggregate.

Queries take an open connection: who calls decides what one transaction is. They return frozen values,
never rows.
"""
