"""What is done at the server's own machine: `edgewright server init`, `user` and `renumber`."""
