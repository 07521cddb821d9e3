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

  assert {
    condition     = length(module.network.private_subnet_ids) == 3
    error_message = "three private subnets"
  }
}
