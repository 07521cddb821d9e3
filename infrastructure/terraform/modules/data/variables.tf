variable "name" {
  description = "What the environment's resources are called after, as atrium-production."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,30}[a-z0-9]$", var.name))
    error_message = "name is 3 to 32 lower-case letters, digits and hyphens, and begins with a letter."
  }
}

variable "vpc_id" {
  description = "The VPC of the data subnets."
  type        = string

  validation {
    condition     = startswith(var.vpc_id, "vpc-")
    error_message = "vpc_id begins with vpc-."
  }
}

variable "data_subnet_ids" {
  description = "Subnets in which nothing but PostgreSQL and Valkey lies, one a zone (the manifests' network policies name their networks)."
  type        = list(string)

  validation {
    condition     = length(var.data_subnet_ids) >= 2
    error_message = "data_subnet_ids has subnets of at least two zones."
  }
}

variable "client_security_group_ids" {
  description = "Security groups whose members may connect: the nodes'. Which pods may, NetworkPolicies say."
  type        = list(string)

  validation {
    condition     = length(var.client_security_group_ids) > 0
    error_message = "client_security_group_ids has at least one security group."
  }
}

variable "force_destroy" {
  description = "Let destroy remove buckets with what is in them, and the database without a last snapshot. For an environment that may be lost."
  type        = bool
  default     = false
}

variable "log_retention_days" {
  description = "How long PostgreSQL's and Valkey's own logs are kept, in days. No tenant's text is in them."
  type        = number
  default     = 365

  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731], var.log_retention_days)
    error_message = "log_retention_days is one of CloudWatch's: 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731."
  }
}

variable "tags" {
  description = "Tags of every resource."
  type        = map(string)
  default     = {}
}
