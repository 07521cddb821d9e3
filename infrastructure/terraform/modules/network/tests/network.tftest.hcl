mock_provider "aws" {
  mock_data "aws_caller_identity" {
    defaults = { account_id = "111122223333" }
  }
}

variables {
  name       = "atrium-test"
  region     = "us-east-1"
  azs        = ["us-east-1a", "us-east-1b", "us-east-1c"]
  nat_per_az = true
}

run "each_zone_has_its_own_nat_gateway" {
  command = plan

  assert {
    condition     = length(aws_nat_gateway.this) == 3 && alltrue([for az, nat in local.nat_of : az == nat])
    error_message = "a zone's failure is its own"
  }
}

run "or_all_share_one" {
  command = plan

  variables {
    nat_per_az = false
  }

  assert {
    condition     = keys(aws_nat_gateway.this) == ["us-east-1a"] && length(aws_route.private) == 3
    error_message = "one NAT gateway, a way out for all"
  }
}

run "subnets_are_where_the_network_policies_say" {
  command = plan

  assert {
    condition     = [for az in var.azs : aws_subnet.public[az].cidr_block] == ["10.0.0.0/22", "10.0.4.0/22", "10.0.8.0/22"]
    error_message = "load balancer: 10.0.0.0/20"
  }
  assert {
    condition     = [for az in var.azs : aws_subnet.isolated["data/${az}"].cidr_block] == ["10.0.16.0/22", "10.0.20.0/22", "10.0.24.0/22"]
    error_message = "stores: 10.0.16.0/20"
  }
  assert {
    condition     = [for az in var.azs : aws_subnet.isolated["endpoint/${az}"].cidr_block] == ["10.0.32.0/22", "10.0.36.0/22", "10.0.40.0/22"]
    error_message = "endpoints: 10.0.32.0/20"
  }
  assert {
    condition     = [for az in var.azs : aws_subnet.isolated["control-plane/${az}"].cidr_block] == ["10.0.48.0/22", "10.0.52.0/22", "10.0.56.0/22"]
    error_message = "control plane: 10.0.48.0/20"
  }
  assert {
    condition     = [for az in var.azs : aws_subnet.private[az].cidr_block] == ["10.0.64.0/18", "10.0.128.0/18", "10.0.192.0/18"]
    error_message = "nodes and pods: the rest"
  }
}

run "nothing_is_open_by_default" {
  command = plan

  assert {
    condition     = aws_flow_log.this.traffic_type == "ALL"
    error_message = "refused traffic is logged, and let through"
  }
  assert {
    condition     = alltrue([for subnet in aws_subnet.public : !subnet.map_public_ip_on_launch])
    error_message = "no instance gets a public address"
  }
  assert {
    condition     = aws_vpc_security_group_ingress_rule.endpoints.from_port == 443 && aws_vpc_security_group_ingress_rule.endpoints.to_port == 443
    error_message = "endpoints: HTTPS alone"
  }
}

run "endpoints_bound_what_credentials_from_inside_may_do" {
  command = plan

  assert {
    condition     = jsondecode(aws_vpc_endpoint.s3.policy).Statement[0].Condition.StringEquals["aws:ResourceAccount"] == "111122223333"
    error_message = "S3: the account's own buckets"
  }
  assert {
    condition     = jsondecode(aws_vpc_endpoint.s3.policy).Statement[1].Action == "s3:GetObject"
    error_message = "AWS's own buckets are read, not written"
  }
  assert {
    condition = alltrue([
      for service, endpoint in aws_vpc_endpoint.interface :
      jsondecode(endpoint.policy).Statement[0].Condition.StringEquals["aws:PrincipalAccount"] == "111122223333"
    ])
    error_message = "no other account's credentials"
  }
  assert {
    condition     = alltrue([for endpoint in aws_vpc_endpoint.interface : endpoint.private_dns_enabled])
    error_message = "pods ask by the usual names"
  }
}

run "what_pods_may_reach_cannot_be_left_out" {
  command = plan

  variables {
    interface_endpoints = ["sts"]
  }

  expect_failures = [var.interface_endpoints]
}

run "two_zones_are_too_few" {
  command = plan

  variables {
    azs = ["us-east-1a", "us-east-1b"]
  }

  expect_failures = [var.azs]
}
