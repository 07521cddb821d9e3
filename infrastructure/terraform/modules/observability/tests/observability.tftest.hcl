mock_provider "aws" {
  mock_data "aws_caller_identity" {
    defaults = { account_id = "111122223333" }
  }
  mock_data "aws_partition" {
    defaults = { partition = "aws" }
  }
  mock_data "aws_region" {
    defaults = { name = "eu-west-1" }
  }
  mock_resource "aws_kms_key" {
    defaults = { arn = "arn:aws:kms:eu-west-1:111122223333:key/0000" }
  }
  mock_resource "aws_sns_topic" {
    defaults = { arn = "arn:aws:sns:eu-west-1:111122223333:alarms" }
  }
}

variables {
  name         = "atrium-test"
  alarm_emails = ["ops@example.com", "lead@example.com"]
}

run "everything" {
  assert {
    condition     = alltrue([for group in aws_cloudwatch_log_group.this : group.kms_key_id == aws_kms_key.this[0].arn && group.retention_in_days == 365])
    error_message = "Every log group is encrypted, and kept for a stated time."
  }
  assert {
    condition     = alltrue([for topic in aws_sns_topic.alarms : topic.kms_master_key_id == aws_kms_key.this[0].arn])
    error_message = "Notifications are encrypted."
  }
  assert {
    condition = alltrue([
      for service in ["cloudwatch.amazonaws.com", "backup.amazonaws.com"] :
      contains(flatten([for one in jsondecode(aws_kms_key.this[0].policy).Statement : one.Principal.Service if can(one.Principal.Service)]), service)
    ])
    error_message = "Alarms and backups may use the key of their topic."
  }
  assert {
    condition     = alltrue([for policy in aws_sns_topic_policy.alarms : contains([for one in jsondecode(policy.policy).Statement : one.Principal.Service], "backup.amazonaws.com")])
    error_message = "modules/backup tells the topic what it could not do."
  }
  assert {
    condition     = alltrue([for policy in aws_sns_topic_policy.alarms : jsondecode(policy.policy).Statement[0].Condition.ArnLike["aws:SourceArn"] == "arn:aws:cloudwatch:eu-west-1:111122223333:alarm:atrium-test-*"])
    error_message = "No alarm but this environment's may publish."
  }
  assert {
    condition     = length(aws_sns_topic_subscription.emails) == 4
    error_message = "Every address is told of both severities."
  }
  assert {
    condition     = alltrue([for alarm in aws_cloudwatch_metric_alarm.this : length([for query in alarm.metric_query : query if query.return_data]) == 1])
    error_message = "CloudWatch compares exactly one of an alarm's queries."
  }
  assert {
    condition     = aws_cloudwatch_metric_alarm.this["no-data-router"].treat_missing_data == "breaching"
    error_message = "Where nobody tells anything, the alarm is on."
  }
  assert {
    condition     = aws_cloudwatch_composite_alarm.this["availability-fast"].alarm_rule == "ALARM(\"atrium-test-availability-fast-1h\") AND ALARM(\"atrium-test-availability-fast-5m\")"
    error_message = "An SLO's alarm is on while both of its windows are."
  }
  assert {
    condition     = aws_cloudwatch_composite_alarm.this["ledger-lag"].alarm_rule == "ALARM(\"atrium-test-ledger-lag-seen\") AND NOT ALARM(\"atrium-test-postgres-unreachable\")"
    error_message = "Nobody is told of what another alarm explains."
  }
  assert {
    condition     = length(aws_cloudwatch_metric_alarm.this["ledger-lag-seen"].alarm_actions) == 0 && length(aws_cloudwatch_metric_alarm.this["error-rate"].alarm_actions) == 1
    error_message = "Of a part of an alarm nobody is told by itself."
  }
  assert {
    condition     = length(setintersection(keys(output.alarm_arns), ["ledger-lag", "error-rate", "availability-slow"])) == 3 && !contains(keys(output.alarm_arns), "ledger-lag-seen")
    error_message = "alarm_arns has the names of the runbook."
  }
  assert {
    condition     = toset(output.dashboard_names) == toset(["atrium-test-engine", "atrium-test-fleet", "atrium-test-money", "atrium-test-tenant"])
    error_message = "Four dashboards."
  }
  assert {
    condition = alltrue(flatten([
      for dashboard in aws_cloudwatch_dashboard.this : [
        for widget in jsondecode(dashboard.dashboard_body).widgets : try(widget.properties.region, "none") == (widget.type == "metric" ? "eu-west-1" : "none")
      ]
    ]))
    error_message = "Every metric widget names the region, and no other widget does."
  }
}

run "another_namespace_a_key_from_elsewhere_and_no_dashboards" {
  variables {
    metrics_namespace = "Other"
    kms_key_arn       = "arn:aws:kms:eu-west-1:111122223333:key/1111"
    dashboards        = false
  }

  assert {
    condition     = alltrue(flatten([for alarm in aws_cloudwatch_metric_alarm.this : [for query in alarm.metric_query : [for metric in query.metric : metric.namespace == "Other"]]]))
    error_message = "Every alarm looks into the namespace."
  }
  assert {
    condition     = length(aws_kms_key.this) == 0 && output.kms_key_arn == "arn:aws:kms:eu-west-1:111122223333:key/1111"
    error_message = "The key is the one that was given."
  }
  assert {
    condition     = length(aws_cloudwatch_dashboard.this) == 0
    error_message = "No dashboards."
  }
}

run "a_retention_that_cloudwatch_does_not_know" {
  command = plan
  variables {
    log_retention_days = 42
  }
  expect_failures = [var.log_retention_days]
}

run "an_address_that_is_none" {
  command = plan
  variables {
    alarm_emails = ["ops"]
  }
  expect_failures = [var.alarm_emails]
}
