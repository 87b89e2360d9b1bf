"""End to end: the command line, tables, figures and benchmarks. The only place that knows both sides."""
