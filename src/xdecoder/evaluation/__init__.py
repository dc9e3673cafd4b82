"""Benchmarks by the field's protocols: `benchmarks.BENCHMARKS` names them, `run.evaluate` runs one."""
