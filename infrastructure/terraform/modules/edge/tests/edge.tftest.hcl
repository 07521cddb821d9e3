mock_provider "aws" {
  mock_data "aws_caller_identity" {
    defaults = { account_id = "111122223333" }
  }
  mock_data "aws_region" {
    defaults = { name = "us-east-1" }
  }
  mock_resource "aws_acm_certificate" {
    defaults = {
      arn = "arn:aws:acm:us-east-1:111122223333:certificate/made"
      domain_validation_options = [{
        domain_name           = "atrium.example.com"
        resource_record_name  = "_x.atrium.example.com"
        resource_record_type  = "CNAME"
        resource_record_value = "_y.acm-validations.aws"
      }]
    }
  }
  mock_resource "aws_wafv2_web_acl" {
    defaults = { arn = "arn:aws:wafv2:us-east-1:111122223333:regional/webacl/made/1" }
  }
  mock_resource "aws_cloudwatch_log_group" {
    defaults = { arn = "arn:aws:logs:us-east-1:111122223333:log-group:aws-waf-logs-made" }
  }
  mock_resource "aws_kms_key" {
    defaults = { arn = "arn:aws:kms:us-east-1:111122223333:key/made" }
  }
}

variables {
  name              = "atrium-test"
  vpc_id            = "vpc-0123456789abcdef0"
  cluster_name      = "atrium-test"
  oidc_provider_arn = "arn:aws:iam::111122223333:oidc-provider/oidc.example/id/X"
  oidc_issuer       = "oidc.example/id/X"
  domain            = "atrium.example.com"
  zone_id           = "Z0123456789ABCDEFGHIJ"
}

# One run: each reads the schema of wafv2 anew, which takes seconds.
run "prompts_get_through_floods_do_not_and_roles_are_narrow" {
  assert {
    condition = alltrue([
      for group in local.managed_rules : alltrue([for rule in group.counted : endswith(rule, "_BODY")])
      ]) && contains(local.managed_rules["AWSManagedRulesCommonRuleSet"].counted, "SizeRestrictions_BODY") && toset(flatten([
        for rule in aws_wafv2_web_acl.this.rule : flatten([
          for group in rule.statement[0].managed_rule_group_statement : [for override in group.rule_action_override : override.name if length(override.action_to_use[0].count) == 1]
        ])
    ])) == toset(flatten([for group in local.managed_rules : group.counted]))
    error_message = "rules that read bodies count, and block nothing"
  }

  assert {
    condition = one([
      for rule in aws_wafv2_web_acl.this.rule : rule.action[0].block[0].custom_response[0].response_code if rule.name == "rate"
    ]) == 429
    error_message = "and to come back"
  }

  assert {
    condition     = one([for rule in aws_wafv2_web_acl.this.rule : rule.statement[0].rate_based_statement[0].limit if rule.name == "rate"]) == var.rate_limit_per_5min
    error_message = "the limit that was asked for"
  }

  assert {
    condition = toset([
      for field in aws_wafv2_web_acl_logging_configuration.this.redacted_fields : field.single_header[0].name
    ]) == toset(["authorization", "cookie"])
    error_message = "redacted"
  }

  assert {
    condition     = alltrue([for rule in aws_wafv2_web_acl.this.rule : !rule.visibility_config[0].sampled_requests_enabled])
    error_message = "samples would show headers"
  }

  assert {
    condition     = !anytrue([for statement in local.alb_statements : anytrue([for action in statement.Action : strcontains(action, "*")])])
    error_message = "no wildcard among actions"
  }

  assert {
    condition     = [for statement in local.alb_statements : statement.Sid if contains(statement.Resource, "*")] == ["ReadWhatThereIs"]
    error_message = "only reading is without a resource"
  }

  assert {
    condition     = length(jsonencode(local.alb_statements)) <= 9500
    error_message = "IAM's longest inline policies have 10,240 characters"
  }
}

run "a_wrong_domain_is_refused" {
  command = plan

  variables {
    domain = "https://atrium.example.com"
  }

  expect_failures = [var.domain]
}
