"""HTTP in, one call of the service, HTTP out. The tenant comes from the service token and from nowhere else."""
