mock_provider "aws" {
  mock_data "aws_caller_identity" {
    defaults = { account_id = "111122223333" }
  }
  mock_data "aws_region" {
    defaults = { name = "us-east-1" }
  }
}

variables {
  name                     = "atrium-test"
  kubernetes_version       = "1.35"
  vpc_id                   = "vpc-1"
  vpc_cidr                 = "10.0.0.0/16"
  control_plane_subnet_ids = ["subnet-1", "subnet-2", "subnet-3"]
  private_access_only      = true
  private_access_cidrs     = ["10.100.0.0/16"]
  admin_principal_arns     = ["arn:aws:iam::111122223333:role/operators"]
}

run "the_api_server_is_private" {
  command = plan

  assert {
    condition     = aws_eks_cluster.this.vpc_config[0].endpoint_private_access && !aws_eks_cluster.this.vpc_config[0].endpoint_public_access
    error_message = "no public address"
  }
  assert {
    condition     = keys(aws_vpc_security_group_ingress_rule.api_from_networks) == ["10.100.0.0/16"]
    error_message = "the operators' network reaches it"
  }
}

run "the_api_server_has_the_address_that_policies_name" {
  command = plan

  assert {
    condition     = cidrhost(aws_eks_cluster.this.kubernetes_network_config[0].service_ipv4_cidr, 1) == "172.20.0.1"
    error_message = "infrastructure/kubernetes/components/engine-discovery and adot let pods reach 172.20.0.1"
  }
}

run "or_public_for_named_networks_alone" {
  command = plan

  variables {
    private_access_only = false
    public_access_cidrs = ["198.51.100.0/24"]
  }

  assert {
    condition     = aws_eks_cluster.this.vpc_config[0].public_access_cidrs == toset(["198.51.100.0/24"])
    error_message = "those, and no other"
  }
}

run "the_whole_internet_is_refused" {
  command = plan

  variables {
    private_access_only = false
    public_access_cidrs = ["0.0.0.0/0"]
  }

  expect_failures = [var.public_access_cidrs]
}

run "secrets_are_encrypted_and_all_logs_are_on" {
  command = plan

  assert {
    condition     = aws_eks_cluster.this.encryption_config[0].resources == toset(["secrets"])
    error_message = "Kubernetes Secrets under a key of our own"
  }
  assert {
    condition     = aws_eks_cluster.this.enabled_cluster_log_types == toset(["api", "audit", "authenticator", "controllerManager", "scheduler"])
    error_message = "all five"
  }
}

run "who_gets_in_is_named" {
  command = plan

  assert {
    condition = (
      aws_eks_cluster.this.access_config[0].authentication_mode == "API"
      && !aws_eks_cluster.this.access_config[0].bootstrap_cluster_creator_admin_permissions
    )
    error_message = "no administrator by accident, no aws-auth"
  }
  assert {
    condition     = keys(aws_eks_access_policy_association.admin) == ["arn:aws:iam::111122223333:role/operators"]
    error_message = "those who are named"
  }
}

run "network_policies_are_enforced" {
  command = plan

  assert {
    condition     = jsondecode(aws_eks_addon.this["vpc-cni"].configuration_values).enableNetworkPolicy == "true"
    error_message = "without it they are text"
  }
  assert {
    condition = toset(keys(aws_eks_addon.this)) == toset([
      "vpc-cni", "coredns", "kube-proxy", "aws-ebs-csi-driver", "eks-pod-identity-agent", "metrics-server"
    ])
    error_message = "all add-ons"
  }
}

run "nodes_reach_https_the_stores_and_one_another" {
  command = plan

  assert {
    condition     = aws_vpc_security_group_egress_rule.https.from_port == 443 && aws_vpc_security_group_egress_rule.https.to_port == 443
    error_message = "of the internet: HTTPS alone"
  }
  assert {
    condition     = toset([for rule in aws_vpc_security_group_egress_rule.stores : rule.to_port]) == toset([5432, 6379])
    error_message = "of the VPC: the stores"
  }
}
