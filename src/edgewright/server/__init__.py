"""The fleet manager. `app` and `run` put it together; the way of a request is

    listeners → device_api, operator_api or web → fleet → domain, store

`listeners` say who is asking, the next three take what is asked and show what is answered, `fleet` is what
can be done, one function a transaction, `domain` decides and `store` remembers. `live` keeps in memory what
is asked often, `background` goes on while nobody asks. `identity` is the certificate authority, `accounts`
are people, `catalogue` brings packages in, `repositories` are the Git repositories of devices, `commands`
are run at the server's own machine.
"""
