"""Dashboards, alarms and SLOs, declared once and rendered for CloudWatch (Terraform's input), Prometheus and Grafana.

`python -m observability.monitoring` writes the files; a test fails where they differ from what it would write.
"""
