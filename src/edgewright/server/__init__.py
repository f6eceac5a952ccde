"""The fleet manager: `domain` decides; `device_api`, `operator_api`, `identity` and `store` do."""
