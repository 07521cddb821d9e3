locals {
  dashboards = {
    for path in var.dashboards ? fileset("${local.generated}/dashboards", "*.json") : [] :
    trimsuffix(path, ".json") => jsondecode(replace(file("${local.generated}/dashboards/${path}"), local.namespace, var.metrics_namespace))
  }
}

resource "aws_cloudwatch_dashboard" "this" {
  for_each = local.dashboards

  dashboard_name = "${var.name}-${each.key}"

  # A metric widget names its region.
  dashboard_body = jsonencode(merge(each.value, {
    widgets = [
      for widget in each.value.widgets : merge(widget, {
        properties = merge(widget.properties, { for key, value in { region = local.region } : key => value if widget.type == "metric" })
      })
    ]
  }))
}
