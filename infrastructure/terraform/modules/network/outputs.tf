output "vpc_id" {
  description = "The VPC."
  value       = aws_vpc.this.id
}

output "vpc_cidr" {
  description = "Its addresses."
  value       = aws_vpc.this.cidr_block
}

output "public_subnet_ids" {
  description = "Load balancer and NAT gateways, one a zone, in the order of the zones; so are all lists here."
  value       = [for az in var.azs : aws_subnet.public[az].id]
}

output "private_subnet_ids" {
  description = "Nodes and pods."
  value       = [for az in var.azs : aws_subnet.private[az].id]
}

output "data_subnet_ids" {
  description = "PostgreSQL and Valkey: no way out."
  value       = [for az in var.azs : aws_subnet.isolated["data/${az}"].id]
}

output "endpoint_subnet_ids" {
  description = "Interface endpoints: no way out."
  value       = [for az in var.azs : aws_subnet.isolated["endpoint/${az}"].id]
}

output "control_plane_subnet_ids" {
  description = "The control plane's interfaces: no way out."
  value       = [for az in var.azs : aws_subnet.isolated["control-plane/${az}"].id]
}

output "s3_gateway_endpoint_id" {
  description = "S3's gateway endpoint: bucket policies may ask for it."
  value       = aws_vpc_endpoint.s3.id
}
