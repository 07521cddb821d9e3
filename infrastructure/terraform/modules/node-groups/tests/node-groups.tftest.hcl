mock_provider "aws" {
  mock_data "aws_caller_identity" {
    defaults = { account_id = "111122223333" }
  }
  mock_data "aws_region" {
    defaults = { name = "ap-southeast-1" }
  }
  mock_resource "aws_iam_role" {
    defaults = { arn = "arn:aws:iam::111122223333:role/made" }
  }
  mock_resource "aws_sqs_queue" {
    defaults = {
      arn = "arn:aws:sqs:us-east-1:111122223333:made"
      url = "https://sqs.us-east-1.amazonaws.com/111122223333/made"
    }
  }
  mock_resource "aws_cloudwatch_event_rule" {
    defaults = { arn = "arn:aws:events:us-east-1:111122223333:rule/made" }
  }
  mock_resource "aws_launch_template" {
    defaults = { id = "lt-0123456789abcdef0", latest_version = 1 }
  }
}

variables {
  name                   = "atrium-test"
  cluster_name           = "atrium-production"
  private_subnet_ids     = ["subnet-0123456789abcdef0", "subnet-0123456789abcdef1", "subnet-0123456789abcdef2"]
  node_security_group_id = "sg-0123456789abcdef0"
  oidc_provider_arn      = "arn:aws:iam::111122223333:oidc-provider/oidc.example/id/X"
  oidc_issuer            = "oidc.example/id/X"
  min_size               = 3
  desired_size           = 3
  max_size               = 6
}

run "a_node_gives_no_pod_its_role_and_keeps_no_plain_disk" {
  assert {
    condition = (
      aws_launch_template.cpu.metadata_options[0].http_tokens == "required"
      && aws_launch_template.cpu.metadata_options[0].http_put_response_hop_limit == 1
    )
    error_message = "IMDSv2, one hop"
  }
  assert {
    condition     = aws_launch_template.cpu.block_device_mappings[0].ebs[0].encrypted == "true"
    error_message = "encrypted"
  }
  assert {
    condition     = length(aws_launch_template.cpu.network_interfaces) == 0 && aws_eks_node_group.cpu.subnet_ids == toset(var.private_subnet_ids)
    error_message = "private subnets, no public address"
  }
}

run "karpenter_changes_what_is_this_clusters_alone" {
  assert {
    condition = alltrue([
      for statement in local.karpenter_statements :
      contains(keys(statement), "Condition") || !anytrue([
        for action in statement.Action : can(regex("^(ec2:(Terminate|Delete|CreateLaunch|CreateTags)|iam:(Create|Delete|Add|Remove|Pass|Tag))", action))
      ])
    ])
    error_message = "whatever makes, tags or ends has a condition"
  }
  assert {
    condition     = !anytrue([for statement in local.karpenter_statements : anytrue([for action in statement.Action : strcontains(action, "*")])])
    error_message = "no wildcard among actions"
  }
  assert {
    condition     = length(local.karpenter_policy) <= 10240
    error_message = "IAM's longest inline policies"
  }
  assert {
    condition     = one([for statement in local.karpenter_statements : statement.Resource if statement.Sid == "GiveNodesTheirRole"]) == [aws_iam_role.node["karpenter-node"].arn]
    error_message = "it passes one role"
  }
}

run "nodes_about_to_go_are_told_of" {
  assert {
    condition     = length(aws_cloudwatch_event_target.interruption) == 5
    error_message = "every kind of notice"
  }
  assert {
    condition     = aws_sqs_queue.interruptions.sqs_managed_sse_enabled
    error_message = "encrypted"
  }
  assert {
    condition     = aws_eks_access_entry.karpenter_node.type == "EC2_LINUX"
    error_message = "Karpenter's nodes may join"
  }
}

run "sizes_are_in_order" {
  command = plan

  variables {
    desired_size = 9
  }

  expect_failures = [var.max_size]
}
