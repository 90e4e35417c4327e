"""An AWS account over HTTP for tests: moto, what it lacks (all of EKS, RDS' life), and faults on request."""
