locals {
  declared   = jsondecode(replace(file("${local.generated}/alarms.json"), local.namespace, var.metrics_namespace))
  alarms     = local.declared.metric_alarms
  composites = local.declared.composite_alarms
}

# `tells = false`: part of a composite alarm, of which alone nobody is told.
resource "aws_cloudwatch_metric_alarm" "this" {
  for_each = local.alarms

  alarm_name          = "${var.name}-${each.key}"
  alarm_description   = each.value.description
  comparison_operator = each.value.comparison_operator
  threshold           = each.value.threshold
  evaluation_periods  = each.value.evaluation_periods
  datapoints_to_alarm = each.value.evaluation_periods
  treat_missing_data  = each.value.treat_missing_data
  alarm_actions       = each.value.tells ? [aws_sns_topic.alarms[each.value.severity].arn] : []
  ok_actions          = each.value.tells ? [aws_sns_topic.alarms[each.value.severity].arn] : []
  tags                = merge(var.tags, { severity = each.value.severity })

  dynamic "metric_query" {
    for_each = each.value.queries

    content {
      id          = metric_query.value.id
      expression  = try(metric_query.value.expression, null)
      return_data = metric_query.key == length(each.value.queries) - 1

      dynamic "metric" {
        for_each = try([metric_query.value.metric], [])

        content {
          namespace   = metric.value.namespace
          metric_name = metric.value.metric_name
          dimensions  = metric.value.dimensions
          stat        = metric.value.stat
          period      = metric.value.period
        }
      }
    }
  }
}

# All of some alarms, and none of those that explain them.
resource "aws_cloudwatch_composite_alarm" "this" {
  for_each = local.composites

  alarm_name        = "${var.name}-${each.key}"
  alarm_description = each.value.description
  alarm_actions     = [aws_sns_topic.alarms[each.value.severity].arn]
  ok_actions        = [aws_sns_topic.alarms[each.value.severity].arn]
  tags              = merge(var.tags, { severity = each.value.severity })

  alarm_rule = join(" AND ", concat(
    [for one in each.value.all_of : "ALARM(\"${aws_cloudwatch_metric_alarm.this[one].alarm_name}\")"],
    [for one in each.value.none_of : "NOT ALARM(\"${aws_cloudwatch_metric_alarm.this[one].alarm_name}\")"],
  ))
}
