# Applies everything to moto, looks, and destroys. Overridden is only what moto 5.2 has not: EKS' add-ons and access
# entries, and the security group that EKS makes for a control plane.
override_resource {
  target = module.cluster.aws_eks_addon.this
}
override_resource {
  target = module.cluster.aws_eks_access_entry.admin
}
override_resource {
  target = module.cluster.aws_eks_access_policy_association.admin
}
override_resource {
  target = module.cluster.aws_vpc_security_group_ingress_rule.api_from_nodes
}
override_resource {
  target = module.cluster.aws_vpc_security_group_ingress_rule.nodes_from_api
}
override_resource {
  target = module.node_groups.aws_eks_access_entry.karpenter_node
}

run "everything_is_made" {
  command = apply

  # Each answer below is moto's, not a plan's.
  assert {
    condition     = length(distinct(module.network.private_subnet_ids)) == 3 && length(distinct(module.network.data_subnet_ids)) == 3
    error_message = "subnets"
  }
  assert {
    condition     = alltrue([for zone, table in data.aws_route_table.private : one([for route in table.routes : route.nat_gateway_id if route.cidr_block == "0.0.0.0/0"]) == data.aws_nat_gateway.of[zone].id])
    error_message = "each zone's nodes go out by their own zone's NAT gateway"
  }
  assert {
    condition     = length([for route in data.aws_route_table.data.routes : route if route.cidr_block == "0.0.0.0/0"]) == 0
    error_message = "the stores have no way out"
  }
  assert {
    condition     = data.aws_eks_node_group.cpu.scaling_config[0].desired_size == 3
    error_message = "CPU nodes"
  }
  assert {
    condition     = toset(keys(module.registry.repository_urls)) == toset(["atrium-router", "atrium-orchestrator", "atrium-rag", "vllm-openai"])
    error_message = "repositories"
  }
  assert {
    condition     = startswith(module.edge.certificate_arn, "arn:aws:acm:us-east-1:123456789012:certificate/") && data.aws_wafv2_web_acl.this.arn == module.edge.web_acl_arn
    error_message = "certificate, validated by DNS, and web ACL"
  }
  assert {
    condition     = jsondecode(data.aws_iam_role.karpenter.assume_role_policy).Statement[0].Principal.Federated == module.cluster.oidc_provider_arn
    error_message = "Karpenter's role is for this cluster"
  }
}
