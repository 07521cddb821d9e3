variable "name" {
  description = "What every name begins with, e.g. atrium-production."
  type        = string
  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{2,30}[a-z0-9]$", var.name))
    error_message = "name: 4 to 32 small letters, digits and hyphens, a letter first."
  }
}

variable "tags" {
  description = "Tags of everything that takes tags."
  type        = map(string)
  default     = {}
}

variable "region" {
  description = "The region of the zones."
  type        = string
  validation {
    condition     = can(regex("^[a-z]{2}-[a-z]+-[0-9]$", var.region))
    error_message = "region: like us-east-1."
  }
}

variable "cidr" {
  description = "The VPC's addresses, a /16. infrastructure/kubernetes names 10.0.0.0/16's subnets in its policies: another network, other policies."
  type        = string
  default     = "10.0.0.0/16"
  validation {
    condition     = can(cidrnetmask(var.cidr)) && endswith(var.cidr, "/16")
    error_message = "cidr: an IPv4 network of size /16."
  }
}

variable "azs" {
  description = "Three availability zones."
  type        = list(string)
  validation {
    condition     = length(distinct(var.azs)) == 3 && length(var.azs) == 3
    error_message = "azs: three different zones."
  }
}

variable "nat_per_az" {
  description = "A NAT gateway in each zone (a zone's failure is its own), or one for all (cheaper)."
  type        = bool
}

variable "flow_log_retention_days" {
  description = "Days that flow logs are kept."
  type        = number
  default     = 365
  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 3653], var.flow_log_retention_days)
    error_message = "flow_log_retention_days: a number that CloudWatch Logs knows, e.g. 30, 90, 365."
  }
}

variable "interface_endpoints" {
  description = "AWS services with an address in the VPC. The pods' policies need sts, logs, secretsmanager, monitoring and aps-workspaces here; without the others, nodes ask by the NAT gateway."
  type        = set(string)
  default     = ["sts", "logs", "secretsmanager", "monitoring", "aps-workspaces", "ecr.api", "ecr.dkr", "ec2"]
  validation {
    condition     = length(setsubtract(["sts", "logs", "secretsmanager", "monitoring", "aps-workspaces"], var.interface_endpoints)) == 0
    error_message = "interface_endpoints: sts, logs, secretsmanager, monitoring and aps-workspaces are what pods may reach."
  }
}
