locals {
  oidc_issuer = replace(aws_eks_cluster.this.identity[0].oidc[0].issuer, "https://", "")
}

output "cluster_name" {
  description = "The cluster's name."
  value       = aws_eks_cluster.this.name
}

output "cluster_endpoint" {
  description = "The API server's URL."
  value       = aws_eks_cluster.this.endpoint
}

output "cluster_ca" {
  description = "The API server's CA, base64."
  value       = aws_eks_cluster.this.certificate_authority[0].data
}

output "oidc_provider_arn" {
  description = "The OIDC provider in IAM, for roles of service accounts."
  value       = aws_iam_openid_connect_provider.this.arn
}

output "oidc_issuer" {
  description = "Its issuer, without https://."
  value       = local.oidc_issuer
}

output "cluster_security_group_id" {
  description = "The control plane's security group."
  value       = aws_eks_cluster.this.vpc_config[0].cluster_security_group_id
}

output "node_security_group_id" {
  description = "The nodes' and pods' security group."
  value       = aws_security_group.nodes.id
}

output "kms_key_arn" {
  description = "The key of Kubernetes Secrets and of the control plane's logs."
  value       = module.key.arn
}
