"""What people at the device ask of the agent: at one `desk`, from the facts of one function.

They come by the command line (`control_client`), the `control` socket, or the local page (`agent/page/`).
"""
