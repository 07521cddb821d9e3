output "log_group_arns" {
  description = "Log groups by name: ARN, without :* at its end."
  value       = { for name, group in aws_cloudwatch_log_group.this : name => group.arn }
}

output "topic_arn" {
  description = "The topic of the alarms that somebody gets up for."
  value       = aws_sns_topic.alarms["page"].arn
}

output "topic_arns" {
  description = "Topics by severity: page, ticket."
  value       = { for severity, topic in aws_sns_topic.alarms : severity => topic.arn }
}

output "alarm_arns" {
  description = "Alarms by the name that they have in docs/runbook.md; those that are only part of another are left out."
  value = merge(
    { for name, alarm in aws_cloudwatch_metric_alarm.this : name => alarm.arn if local.alarms[name].tells },
    { for name, alarm in aws_cloudwatch_composite_alarm.this : name => alarm.arn },
  )
}

output "dashboard_names" {
  description = "Names of the dashboards."
  value       = [for dashboard in aws_cloudwatch_dashboard.this : dashboard.dashboard_name]
}

output "kms_key_arn" {
  description = "The key of logs and notifications."
  value       = local.kms_key_arn
}
