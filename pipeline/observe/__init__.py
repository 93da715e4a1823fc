"""What is seen of a run: status, samples, gauges, logs, traces, metrics, dashboard, page."""
