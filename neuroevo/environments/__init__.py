"""The suites that tasks take their environments from."""
