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

variable "vpc_id" {
  description = "The VPC of the load balancers."
  type        = string
}

variable "cluster_name" {
  description = "The cluster whose load balancers these are: the controller may touch no other's."
  type        = string
}

variable "oidc_provider_arn" {
  description = "The cluster's OIDC provider in IAM."
  type        = string
}

variable "oidc_issuer" {
  description = "Its issuer, without https://."
  type        = string
}

variable "domain" {
  description = "The host clients use, e.g. atrium.example.com."
  type        = string
  validation {
    condition     = can(regex("^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\\.)+[a-z]{2,}$", var.domain))
    error_message = "domain: a host name in small letters, without a dot at its end."
  }
}

variable "zone_id" {
  description = "The public Route 53 zone of the domain."
  type        = string
  validation {
    condition     = can(regex("^[A-Z0-9]{8,32}$", var.zone_id))
    error_message = "zone_id: like Z0123456789ABCDEFGHIJ."
  }
}

variable "rate_limit_per_5min" {
  description = "Requests of one address in five minutes before it is told 429. Tenants' own limits are the router's: this stops floods, and an office behind one address must stay under it."
  type        = number
  default     = 10000
  validation {
    condition     = var.rate_limit_per_5min >= 100 && var.rate_limit_per_5min <= 2000000000
    error_message = "rate_limit_per_5min: 100 or more."
  }
}

variable "external_dns" {
  description = "Make a role for external-dns, which writes the domain's record when the load balancer is there."
  type        = bool
  default     = true
}

variable "log_retention_days" {
  description = "Days that the web ACL's logs are kept."
  type        = number
  default     = 90
  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 3653], var.log_retention_days)
    error_message = "log_retention_days: a number that CloudWatch Logs knows, e.g. 30, 90, 365."
  }
}
