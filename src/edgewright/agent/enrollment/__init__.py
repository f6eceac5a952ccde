"""How a device comes into a fleet: by a token or files (`enroll`), or by `asking`; and its `identity`."""
