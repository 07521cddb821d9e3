# A prompt is free text, up to megabytes of it, with code, markup and addresses in it. So no rule that reads a body may
# block: those count, for who looks at the logs, and what a tenant may say is the router's to decide. Answers, streams
# among them, are not inspected at all.
locals {
  managed_rules = {
    AWSManagedRulesAmazonIpReputationList = { priority = 10, counted = [] }
    AWSManagedRulesKnownBadInputsRuleSet = {
      priority = 20
      counted  = ["JavaDeserializationRCE_BODY", "Log4JRCE_BODY", "ReactJSRCE_BODY"]
    }
    AWSManagedRulesCommonRuleSet = {
      priority = 30
      counted  = ["SizeRestrictions_BODY", "CrossSiteScripting_BODY", "GenericLFI_BODY", "GenericRFI_BODY", "EC2MetaDataSSRF_BODY"]
    }
  }
  waf_log_group = "aws-waf-logs-${var.name}" # WAF asks for this beginning
}

resource "aws_wafv2_web_acl" "this" {
  #checkov:skip=CKV_AWS_192: the rule is there, and counts in bodies: a prompt may speak of it, and nothing here is Java
  name        = var.name
  description = "Floods, known bad addresses and requests, before the load balancer"
  scope       = "REGIONAL"
  tags        = var.tags

  default_action {
    allow {}
  }

  rule {
    name     = "rate"
    priority = 0

    action {
      block {
        custom_response {
          response_code = 429
          response_header {
            name  = "retry-after"
            value = "60"
          }
        }
      }
    }

    statement {
      rate_based_statement {
        limit                 = var.rate_limit_per_5min
        aggregate_key_type    = "IP"
        evaluation_window_sec = 300
      }
    }

    visibility_config {
      cloudwatch_metrics_enabled = true
      metric_name                = "rate"
      sampled_requests_enabled   = false
    }
  }

  dynamic "rule" {
    for_each = local.managed_rules
    content {
      name     = rule.key
      priority = rule.value.priority

      override_action {
        none {}
      }

      statement {
        managed_rule_group_statement {
          name        = rule.key
          vendor_name = "AWS"

          dynamic "rule_action_override" {
            for_each = rule.value.counted
            content {
              name = rule_action_override.value
              action_to_use {
                count {}
              }
            }
          }
        }
      }

      visibility_config {
        cloudwatch_metrics_enabled = true
        metric_name                = rule.key
        sampled_requests_enabled   = false
      }
    }
  }

  # Samples show headers, and keys are in them: the log below leaves them out.
  visibility_config {
    cloudwatch_metrics_enabled = true
    metric_name                = var.name
    sampled_requests_enabled   = false
  }
}

module "waf_log_key" {
  source = "../kms-key"

  name            = var.name
  purpose         = "waf-logs"
  log_group_names = [local.waf_log_group]
  tags            = var.tags
}

resource "aws_cloudwatch_log_group" "waf" {
  #checkov:skip=CKV_AWS_338: clients' addresses are personal: kept as long as they serve, which is the environment's choice
  name              = local.waf_log_group
  retention_in_days = var.log_retention_days
  kms_key_id        = module.waf_log_key.arn
  tags              = var.tags
}

resource "aws_wafv2_web_acl_logging_configuration" "this" {
  resource_arn            = aws_wafv2_web_acl.this.arn
  log_destination_configs = [aws_cloudwatch_log_group.waf.arn]

  dynamic "redacted_fields" {
    for_each = ["authorization", "cookie"]
    content {
      single_header {
        name = redacted_fields.value
      }
    }
  }

  # What was let through is in the router's own log.
  logging_filter {
    default_behavior = "DROP"
    filter {
      behavior    = "KEEP"
      requirement = "MEETS_ANY"
      condition {
        action_condition {
          action = "BLOCK"
        }
      }
      condition {
        action_condition {
          action = "COUNT"
        }
      }
    }
  }
}
