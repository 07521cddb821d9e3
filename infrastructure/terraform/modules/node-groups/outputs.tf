output "node_role_arn" {
  description = "The CPU nodes' role."
  value       = aws_iam_role.node["node"].arn
}

output "node_role_name" {
  description = "Its name."
  value       = aws_iam_role.node["node"].name
}

output "cpu_node_group_name" {
  description = "The managed group of CPU nodes."
  value       = aws_eks_node_group.cpu.node_group_name
}

output "karpenter_role_arn" {
  description = "Karpenter's own role: its service account's annotation."
  value       = module.karpenter_role.arn
}

output "karpenter_node_role_name" {
  description = "The role of Karpenter's nodes: EC2NodeClass.spec.role."
  value       = aws_iam_role.node["karpenter-node"].name
}

output "karpenter_queue_name" {
  description = "Karpenter's settings.interruptionQueue."
  value       = aws_sqs_queue.interruptions.name
}
