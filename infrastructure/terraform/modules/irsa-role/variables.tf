variable "name" {
  description = "The role's name."
  type        = string
  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{2,62}[a-z0-9]$", var.name))
    error_message = "name: 4 to 64 small letters, digits and hyphens, a letter first."
  }
}

variable "tags" {
  description = "Tags of everything that takes tags."
  type        = map(string)
  default     = {}
}

variable "oidc_provider_arn" {
  description = "The cluster's OIDC provider in IAM."
  type        = string
}

variable "oidc_issuer" {
  description = "Its issuer, without https://."
  type        = string
  validation {
    condition     = !startswith(var.oidc_issuer, "https://")
    error_message = "oidc_issuer: without https://."
  }
}

variable "namespace" {
  description = "The service account's namespace."
  type        = string
}

variable "service_account" {
  description = "The one service account that may take the role."
  type        = string
  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9-]*$", var.service_account))
    error_message = "service_account: one name, no wildcard."
  }
}

variable "policy" {
  description = "What the role may do (JSON, 10,240 characters at most: IAM's limit for inline policies), or null."
  type        = string
  default     = null
}

variable "managed_policy_arns" {
  description = "AWS's own policies for it."
  type        = set(string)
  default     = []
}
