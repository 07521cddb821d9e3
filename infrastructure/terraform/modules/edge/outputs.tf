output "certificate_arn" {
  description = "The validated certificate: the ingress' annotation certificate-arn."
  value       = aws_acm_certificate_validation.this.certificate_arn
}

output "web_acl_arn" {
  description = "The web ACL: the ingress' annotation wafv2-acl-arn."
  value       = aws_wafv2_web_acl.this.arn
}

output "alb_controller_role_arn" {
  description = "The AWS Load Balancer Controller's role."
  value       = module.alb_controller_role.arn
}

output "external_dns_role_arn" {
  description = "external-dns' role, or null."
  value       = one(module.external_dns_role[*].arn)
}
